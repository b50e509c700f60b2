SELECT DISTINCT lower(name) FROM system.table_functions
