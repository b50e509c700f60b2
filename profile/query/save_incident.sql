INSERT INTO incidents (id, version, site, device, family, target, state, opened, changed, findings, risk, strength, notify,
    terms, expected, observed, text, attack, flows, query, actor, reason)
