-- COMMIT: decide a batch as one atomic step, in order, up to the first item whose view is out of date.
--
-- Keys (all share the hash tag {NAME}, so that they live on one node of a Redis Cluster)
--   KEYS[1]        {NAME}:live          string   number of the live generation
--   KEYS[2]        {NAME}:gG:log        list     the latest events, oldest first
--   KEYS[3]        {NAME}:gG:trimmed    string   how many events have left the log at its head
--   KEYS[2i + 2]   {NAME}:decided:KEY   string   recorded decision of item i, with a time to live
--   KEYS[2i + 3]   {NAME}:gG:cell:C     list     member records of the home cell of item i
-- Arguments
--   ARGV[1]        generation that the client works on
--   ARGV[2]        events that the client has seen, since the generation began
--   ARGV[3]        how the last of them begins; '' when it has seen none
--   ARGV[4]        seconds that a recorded decision lives
--   ARGV[5]        events that the log keeps at least
--   ARGV[4i + 2]   decision on item i, opaque
--   ARGV[4i + 3]   its member record when it is to become a member, else ''
--   ARGV[4i + 4]   its home cell and the root of that, packed as two unsigned 32-bit integers, little-endian
--   ARGV[4i + 5]   the roots whose cells can hold a member within the radius, a bit each; '' for any
-- Returns
--   {'GENERATION'}                    nothing was done: another generation is live
--   {'BEHIND'}                        nothing was done: the log does not reach back to what the client has seen, or
--                                     tells another story (Redis lost its last writes)
--   {'DONE', replies}                 every item is decided
--   {'STALE', replies, events}        the items before the stale one are decided; all events that the client has not
--                                     seen, those of its own items among them
--   replies: for each decided item '' when its decision was taken, else the decision recorded earlier for its key
--
-- Every change of a generation's members is an event, so an equal number of events means equal content. An item is
-- committed when no event that its client has not seen can matter to it: an appended member in a root that can hold
-- one within the radius, or any other change of its home cell's root. It has then been compared with every member
-- that could make it a duplicate, and the batch's own members its client has compared itself. Unless one of these
-- turns out to be decided already (delivered to two consumers at once): then it is no member of this batch, and what
-- follows is stale.
local live, log, trimmed = KEYS[1], KEYS[2], KEYS[3]
local seen = tonumber(ARGV[2])
if redis.call('GET', live) ~= ARGV[1] then
  return {'GENERATION'}
end
local first = tonumber(redis.call('GET', trimmed) or '0')
local since = seen - first
if since < 0 or since > redis.call('LLEN', log) then
  return {'BEHIND'}
end
if since > 0 and ARGV[3] ~= '' and string.sub(redis.call('LINDEX', log, since - 1), 1, #ARGV[3]) ~= ARGV[3] then
  return {'BEHIND'}
end

-- The roots with news, and whether anything but appending happened.
local unseen = redis.call('LRANGE', log, since, -1)
local roots_with_news, restructured = {}, false
for i, event in ipairs(unseen) do
  local kind, _, root = struct.unpack('<c1I4I4', event)
  roots_with_news[i] = root
  restructured = restructured or kind ~= 'A'
end

local function touched(roots)
  if #unseen == 0 then
    return false
  end
  if restructured or roots == '' then
    return true
  end
  for _, root in ipairs(roots_with_news) do
    local byte = string.byte(roots, math.floor(root / 8) + 1)
    if math.floor(byte / 2 ^ (root % 8)) % 2 == 1 then
      return true
    end
  end
  return false
end

local replies, withdrawn = {}, false
for i = 1, (#KEYS - 3) / 2 do
  local decided, cell = KEYS[2 * i + 2], KEYS[2 * i + 3]
  local decision, record, place, roots = unpack(ARGV, 4 * i + 2, 4 * i + 5)
  local earlier = redis.call('GET', decided)
  if earlier then
    replies[i] = earlier
    withdrawn = withdrawn or record ~= ''
  elseif withdrawn or touched(roots) then
    return {'STALE', replies, redis.call('LRANGE', log, since, -1)}
  else
    if record ~= '' then
      local length = redis.call('RPUSH', cell, record)
      redis.call('RPUSH', log, 'A' .. place .. struct.pack('<I4', length - 1) .. record)
    end
    redis.call('SET', decided, decision, 'EX', ARGV[4])
    replies[i] = ''
  end
end
-- Many leave at once: between, whoever follows knows at which place of the list an event is. SET, and not INCRBY, for
-- which consumers have no right.
local excess = redis.call('LLEN', log) - tonumber(ARGV[5])
if excess > tonumber(ARGV[5]) / 8 then
  redis.call('LTRIM', log, excess, -1)
  redis.call('SET', trimmed, string.format('%d', first + excess))
end
return {'DONE', replies}
