-- Detectors read contacts some minutes or an hour back, whatever number of batches
-- that is: by their times whole granules are passed over.
ALTER TABLE contacts ADD INDEX IF NOT EXISTS of_last last TYPE minmax GRANULARITY 1;
