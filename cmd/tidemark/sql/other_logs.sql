-- Flow records that claim another log than the one verified.
SELECT count() FROM flows WHERE log != {log:UInt64}
