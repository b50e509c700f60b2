(
    SELECT * REPLACE (
        transform(contacts.device, joined_ids, joined_targets, contacts.device) AS device,
        transform(contacts.peer, joined_ids, joined_targets, contacts.peer) AS peer,
        transform(contacts.peer_device, joined_ids, joined_targets, contacts.peer_device) AS peer_device)
    FROM contacts
)
