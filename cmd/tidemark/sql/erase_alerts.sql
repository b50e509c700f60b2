(%[1]d != 0 AND device = %[1]d OR match(concat(target, ' ', expected, ' ', observed, ' ', text, ' ', query, ' ', reason), %[2]s))
