-- ABANDON: make sure that a generation can never become the live one; its keys may be removed after that.
--
-- Keys
--   KEYS[1]   {NAME}:live           string   number of the live generation
--   KEYS[2]   {NAME}:gG:meta        string   metadata of the generation
--   KEYS[3]   {NAME}:gG:centroids   string   its centroids, which are there from its beginning on
--   and       {NAME}:previous
-- Arguments
--   ARGV[1]   generation
-- Returns 0 when it is live, or the previous one, and must stay; else 1. Without its centroids FLIP refuses it, though
-- whoever still builds it may write its metadata only after this.
local live = redis.pcall('GET', KEYS[1])
if type(live) == 'table' and not string.find(live.err, 'WRONGTYPE', 1, true) then
  return live
end
if live == ARGV[1] or redis.pcall('GET', string.sub(KEYS[1], 1, -5) .. 'previous') == ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2], KEYS[3])
return 1
