-- RESTORE: append members to the previous generation, before it is made the live one again. Begins with the text of KEEP.
--
-- Keys
--   KEYS[1]        {NAME}:live          string   number of the live generation
--   KEYS[2]        {NAME}:previous      string   number of the previous one
--   KEYS[3]        {NAME}:gP:log        list     the latest events of the previous one, oldest first
--   KEYS[4]        {NAME}:gP:trimmed    string   how many events have left that log
--   KEYS[i + 4]    {NAME}:gP:cell:C     list     member records of the cell of member i
-- Arguments
--   ARGV[1]        the live generation
--   ARGV[2]        the previous one
--   ARGV[3]        events that the previous one has had
--   ARGV[2i + 2]   the record of member i
--   ARGV[2i + 3]   its cell and the root of that, packed as in COMMIT
-- Returns 1 when it was done, or was already (the reply to the first call was lost); 0 when it may not be done.
--
-- Each is an event, as by COMMIT: a process that still knows the generation from before follows it.
local count = #KEYS - 4
local had = tonumber(redis.call('GET', KEYS[4]) or '0') + redis.call('LLEN', KEYS[3])
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
if had == tonumber(ARGV[3]) + count then
  return 1
end
if had ~= tonumber(ARGV[3]) then
  return 0
end
local left_ms = redis.call('PTTL', KEYS[2]) + SLACK_MS
for i = 1, count do
  local cell, record, place = KEYS[i + 4], ARGV[2 * i + 2], ARGV[2 * i + 3]
  local length = redis.call('RPUSH', cell, record)
  redis.call('RPUSH', KEYS[3], 'A' .. place .. struct.pack('<I4', length - 1) .. record)
  redis.call('PEXPIRE', cell, left_ms)
end
redis.call('PEXPIRE', KEYS[3], left_ms)
return 1
