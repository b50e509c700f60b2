INSERT INTO device_facts (site, device, fact, value, actor, reason, changed)
VALUES ({site:String}, {device:UInt64}, {fact:String}, {value:String}, {actor:String}, {reason:String}, {changed:DateTime64})
