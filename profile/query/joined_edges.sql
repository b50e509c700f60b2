(
    SELECT *
    FROM edges
    WHERE edges.device NOT IN (SELECT arrayJoin(joined_ids)) AND edges.peer NOT IN (SELECT arrayJoin(joined_ids))
    UNION ALL
    SELECT * REPLACE (
        transform(edges.device, joined_ids, joined_targets, edges.device) AS device,
        transform(edges.peer, joined_ids, joined_targets, edges.peer) AS peer,
        transform(edges.peer_device, joined_ids, joined_targets, edges.peer_device) AS peer_device)
    FROM edges
    WHERE edges.device IN (SELECT arrayJoin(joined_ids))
    UNION ALL
    SELECT * REPLACE (
        transform(edges.peer, joined_ids, joined_targets, edges.peer) AS peer,
        transform(edges.peer_device, joined_ids, joined_targets, edges.peer_device) AS peer_device)
    FROM edges
    WHERE edges.device NOT IN (SELECT arrayJoin(joined_ids)) AND edges.peer IN (SELECT arrayJoin(joined_ids))
)
