-- read_flows.sql of a whole batch: without a filter by row, and on one thread, it costs a fifth less.
SELECT
    pos,
    type, transport, time_received_ns, time_flow_start_ns, time_flow_end_ns,
    sampler_address, observation_domain_id, sequence_num,
    src_addr, dst_addr, src_port, dst_port, proto, flow_direction, tcp_flags,
    bytes, packets, sampling_rate,
    src_mac, dst_mac, src_vlan, dst_vlan, in_if, out_if,
    presence, ip_tos, flow_end_reason, firewall_event, nat_event, quality,
    src_as, dst_as, extensions
FROM {table:Identifier}
WHERE log = {log:UInt64} AND batch_index = {batch_index:UInt64}
ORDER BY log, batch_index, pos
SETTINGS max_threads = 1
