-- Parts are merged by tens of the same size. At least 32 at once (0014) made the
-- selector take old, large parts in whenever there were fewer small ones: each row
-- was rewritten 2.6 times within ten minutes at full rate, and tens of times where
-- batches are small. A large base alone rewrites it 1.5 times and 2 to 3. Parts of
-- flows end at 2 GiB: what is read by batch and position gains nothing from larger
-- ones, and one merge of a hundred million rows took the CPU that ingest needed. A
-- terabyte is 500 such parts. The rows of a part follow those of another, so merging
-- column by column, and counting distinct values meanwhile, cost a quarter for nothing.
ALTER TABLE flows
    MODIFY SETTING min_parts_to_merge_at_once = 0, merge_selector_base = 60, max_bytes_to_merge_at_max_space_in_pool = 2147483648,
        vertical_merge_algorithm_min_columns_to_activate = 1000, auto_statistics_types = 'basic';

ALTER TABLE contacts
    MODIFY SETTING merge_selector_base = 15;

ALTER TABLE edges
    MODIFY SETTING merge_selector_base = 15;

ALTER TABLE volumes_5m
    MODIFY SETTING merge_selector_base = 15;
