INSERT INTO incidents (id, version, site, device, family, target, state, opened, changed, findings, risk, strength, notify,
    terms, expected, observed, text, attack, flows, query, actor, reason,
    families, lines, also, verdict, told, told_today, told_at, told_risk, held)
