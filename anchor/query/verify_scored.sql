-- The last batch that the detectors of any pace have been through.
SELECT max(batch_index) FROM score_cursors WHERE log = ?
