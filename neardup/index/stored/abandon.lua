-- ABANDON: make sure that a generation can never become the live one.
--
-- Keys
--   KEYS[1]   {NAME}:live      string   number of the live generation
--   KEYS[2]   {NAME}:gG:meta   string   metadata of the generation
-- Arguments
--   ARGV[1]   generation
-- Returns 0 when it is live already and must stay, else 1: without its metadata FLIP refuses it.
local live = redis.pcall('GET', KEYS[1])
if type(live) == 'table' and not string.find(live.err, 'WRONGTYPE', 1, true) then
  return live
end
if live == ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
return 1
