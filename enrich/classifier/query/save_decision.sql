INSERT INTO kind_decisions (site, device, kind, actor, reason, decided)
