-- Ids that an address told to be a router's own would have.
SELECT DISTINCT device FROM identity_intervals WHERE site = {site:String} AND gateway = 1
