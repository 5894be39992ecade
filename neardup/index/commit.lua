-- COMMIT: decide a batch as one atomic step, in order, up to the first item whose view is out of date.
--
-- Keys (all share the hash tag {NAME}, so that they live on one node of a Redis Cluster)
--   KEYS[1]        neardup:{NAME}:live          string   number of the live generation
--   KEYS[2i]       neardup:{NAME}:decided:KEY   string   recorded decision of item i, with a time to live
--   KEYS[2i + 1]   neardup:{NAME}:gG:cell:C     list     member records of the cell of item i
-- Arguments
--   ARGV[1]        generation that the client works on
--   ARGV[2]        seconds that a recorded decision lives
--   ARGV[4i - 1]   members of item i's cell that it was compared with, its batch's own earlier ones included
--   ARGV[4i]       '1' when item i becomes a member, '0' when it is a duplicate or a member already
--   ARGV[4i + 1]   its decision, opaque
--   ARGV[4i + 2]   its member record when it is unique, else ''
-- Returns
--   {'GENERATION', live}                  nothing was done: another generation is live
--   {'DONE', replies}                     every item is decided
--   {'STALE', replies, tail}              the items before the stale one are decided; tail: the records it has not seen
--   replies: for each decided item '' when its decision was taken, else the decision recorded earlier for its key
--
-- A cell is append-only, so an equal length means equal content: an item is only committed as unique after it has
-- been compared with every member of its cell. A duplicate needs no check: members are never taken away.
-- An item that was to become a member and turns out to be decided already (delivered to two consumers at once) does
-- not; what came after it in its cell was compared with a member that is none, and is stale whatever the length.
local live = redis.call('GET', KEYS[1])
if live ~= ARGV[1] then
  return {'GENERATION', live or ''}
end
local replies = {}
local withdrawn = {}
for i = 1, (#KEYS - 1) / 2 do
  local decided, cell = KEYS[2 * i], KEYS[2 * i + 1]
  local seen, unique = tonumber(ARGV[4 * i - 1]), ARGV[4 * i] == '1'
  local earlier = redis.call('GET', decided)
  if earlier then
    replies[i] = earlier
    if unique then
      withdrawn[cell] = (withdrawn[cell] or 0) + 1
    end
  else
    if withdrawn[cell] or (unique and redis.call('LLEN', cell) ~= seen) then
      return {'STALE', replies, redis.call('LRANGE', cell, seen - (withdrawn[cell] or 0), -1)}
    end
    if unique then
      redis.call('RPUSH', cell, ARGV[4 * i + 2])
    end
    redis.call('SET', decided, ARGV[4 * i + 1], 'EX', ARGV[2])
    replies[i] = ''
  end
end
return {'DONE', replies}
