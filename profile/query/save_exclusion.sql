INSERT INTO exclusions (site, id, device, kind, family, peer, proto, port, hours, hard, actor, reason, created, expires, removed, changed)
VALUES ({site:String}, {id:UInt64}, {device:UInt64}, {kind:String}, {family:String}, {peer:String}, {proto:UInt8}, {port:UInt16}, {hours:String}, {hard:UInt8},
    {actor:String}, {reason:String}, {created:DateTime64}, {expires:DateTime64}, {removed:UInt8}, {changed:DateTime64})
