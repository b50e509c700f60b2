(
    SELECT * REPLACE (
        transform(flows.src_device, joined_ids, joined_targets, flows.src_device) AS src_device,
        transform(flows.dst_device, joined_ids, joined_targets, flows.dst_device) AS dst_device)
    FROM flows
)
