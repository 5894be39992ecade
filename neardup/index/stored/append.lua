-- APPEND: add records to a list of a generation that is being built, once.
--
-- Keys
--   KEYS[1]     {NAME}:gG:cell:C or {NAME}:gG:splits   list     what grows
--   KEYS[2]     {NAME}:gG:centroids                    string   there as long as the generation is not given up
-- Arguments
--   ARGV[1]     its length before
--   ARGV[2...]  records, no more than Lua can unpack: some 8,000
-- Returns nothing. A client that lost the reply sends again: the length tells that it was done. One that comes too late,
-- from a machine that was thought dead, say, must leave nothing that nobody would remove.
if redis.call('LLEN', KEYS[1]) == tonumber(ARGV[1]) and redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('RPUSH', KEYS[1], unpack(ARGV, 2))
end
