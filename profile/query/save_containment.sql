INSERT INTO containments (site, name, device, title, alert, dialect, filter, rules, actor, reason, approved, expires, state, attempts, next, said, changed)
VALUES ({site:String}, {name:String}, {device:UInt64}, {title:String}, {alert:String}, {dialect:String}, {filter:String}, {rules:Array}, {actor:String}, {reason:String},
    {approved:DateTime64}, {expires:DateTime64}, {state:String}, {attempts:UInt32}, {next:DateTime64}, {said:String}, {changed:DateTime64})
