-- Rows [?, ?) of a batch, in the types of flow.Batch.
SELECT
    pos,
    toInt8(type), toInt8(transport), toUnixTimestamp64Nano(time_received_ns), toUnixTimestamp64Nano(time_flow_start_ns),
    toUnixTimestamp64Nano(time_flow_end_ns), sampler_address, observation_domain_id, sequence_num,
    src_addr, dst_addr, src_port, dst_port, proto, flow_direction, tcp_flags,
    bytes, packets, sampling_rate,
    src_mac, dst_mac, src_vlan, dst_vlan, in_if, out_if,
    presence, ip_tos, flow_end_reason, firewall_event, nat_event, quality,
    src_as, dst_as, mapKeys(extensions), mapValues(extensions)
FROM flows
WHERE log = ? AND batch_index = ? AND pos >= ? AND pos < ?
UNION ALL
SELECT
    pos,
    toInt8(type), toInt8(transport), toUnixTimestamp64Nano(time_received_ns), toUnixTimestamp64Nano(time_flow_start_ns),
    toUnixTimestamp64Nano(time_flow_end_ns), sampler_address, observation_domain_id, sequence_num,
    src_addr, dst_addr, src_port, dst_port, proto, flow_direction, tcp_flags,
    bytes, packets, sampling_rate,
    src_mac, dst_mac, src_vlan, dst_vlan, in_if, out_if,
    presence, ip_tos, flow_end_reason, firewall_event, nat_event, quality,
    src_as, dst_as, mapKeys(extensions), mapValues(extensions)
FROM flows_quarantine
WHERE log = ? AND batch_index = ? AND pos >= ? AND pos < ?
ORDER BY 1
