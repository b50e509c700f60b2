-- Rows of a batch with their enrichment, for what is made anew from them.
SELECT
    pos,
    type, transport, time_received_ns, time_flow_start_ns, time_flow_end_ns,
    sampler_address, observation_domain_id, sequence_num,
    src_addr, dst_addr, src_port, dst_port, proto, flow_direction, tcp_flags,
    bytes, packets, sampling_rate,
    src_mac, dst_mac, src_vlan, dst_vlan, in_if, out_if,
    presence, ip_tos, flow_end_reason, firewall_event, nat_event, quality,
    src_as, dst_as, extensions,
    event_start_ns, event_end_ns, src_device, dst_device, src_identity, dst_identity,
    initiator, initiator_confidence, scope, service_port, conversation
FROM {table:Identifier}
WHERE log = {log:UInt64} AND batch_index = {batch_index:UInt64} AND pos >= {begin:UInt64} AND pos < {end:UInt64}
ORDER BY log, batch_index, pos
