-- ROLLBACK: make the previous generation the live one, and the live one the previous. Begins with the text of KEEP.
--
-- Keys
--   KEYS[1]   {NAME}:live          string   number of the live generation
--   KEYS[2]   {NAME}:previous      string   number of the previous one
--   KEYS[3]   {NAME}:gL:log        list     the latest events of the live one, oldest first
--   KEYS[4]   {NAME}:gL:trimmed    string   how many events have left that log
--   KEYS[5]   {NAME}:gP:known      string   which members the previous one has now
--   KEYS[6]   {NAME}:gP:log        list     the latest events of the previous one
--   KEYS[7+]  {NAME}:gP:cell:C     list     member records of each of its cells that loses some
--   and       all keys of both generations, whose names only KEEP knows
-- Arguments
--   ARGV[1]   the live generation
--   ARGV[2]   the previous one
--   ARGV[3]   events of the live one that are looked at
--   ARGV[4]   how the last of them begins
--   ARGV[5]   milliseconds to keep the generation that was live; 0 for not at all
--   ARGV[6]   how many members of the previous one were removed on request meanwhile, and may not come back
--   and for each of these: which of the keys is its cell, its record
--   and for each cell: the event, as by REMOVE
-- Returns
--   'LIVE'    the previous generation is live now, or was already (the reply to the first call was lost)
--   'NEWS'    the live generation has had other events
--   'GONE'    another generation is live, or the previous one is gone or not whole
local prefix = string.sub(KEYS[1], 1, -5)
local live, previous = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local keep_ms = tonumber(ARGV[5])
if live == ARGV[2] and previous == (keep_ms > 0 and ARGV[1]) then
  return 'LIVE'
end
local names = keys_of(prefix, ARGV[2])
if live ~= ARGV[1] or previous ~= ARGV[2] or not names then
  return 'GONE'
end
if has_news(KEYS[3], KEYS[4], ARGV[3], ARGV[4]) then
  return 'NEWS'
end
local removed = tonumber(ARGV[6])
for i = 1, removed do
  redis.call('LREM', KEYS[tonumber(ARGV[2 * i + 5])], 0, ARGV[2 * i + 6])
end
for i = 2 * removed + 7, #ARGV do
  redis.call('RPUSH', KEYS[6], ARGV[i])
end
for _, name in ipairs(names) do
  redis.call('PERSIST', name)
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2], prefix .. 'g' .. ARGV[1] .. ':known')
if keep(prefix, ARGV[1], keep_ms) then
  redis.call('PEXPIRE', KEYS[5], keep_ms)
else
  redis.call('DEL', KEYS[5])
end
return 'LIVE'
