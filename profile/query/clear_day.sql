ALTER TABLE {table:Identifier} DELETE WHERE received = {day:Date} SETTINGS mutations_sync = 2
