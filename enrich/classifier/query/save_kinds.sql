INSERT INTO kinds (site, device, classified, kind, iot, probability, since, rules)
