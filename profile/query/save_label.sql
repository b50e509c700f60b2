INSERT INTO labels (site, device, label, actor, changed)
VALUES ({site:String}, {device:UInt64}, {label:String}, {actor:String}, {changed:DateTime64})
