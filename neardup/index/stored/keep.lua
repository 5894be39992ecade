-- KEEP: what FLIP and ROLLBACK ask of a generation, and do with it, before it stops being live. Their scripts, and RESTORE, begin with this
-- text.
--
-- A generation that is kept has a time to live on every key, and so has the key {NAME}:previous that names it. Its keys
-- outlive that by a minute, so that none is missing while it is still named. Their names are known only here: what the
-- generation is made of stands in its metadata and in its list of splits.
local SLACK_MS = 60000

-- The names of a generation's keys; nil when it is not whole enough to be live again.
local function keys_of(prefix, generation)
  local own = prefix .. 'g' .. generation .. ':'
  local metadata, splits = redis.pcall('GET', own .. 'meta'), redis.pcall('LLEN', own .. 'splits')
  if type(metadata) ~= 'string' or type(splits) ~= 'number' then
    return nil
  end
  local read, clusters, dimension = pcall(function()
    local fields = cjson.decode(metadata)
    return fields.clusters + 0, fields.dimension + 0
  end)
  -- A damaged number of clusters might be any: there are as many as there are centroids.
  if not read or dimension < 1 or 4 * clusters * dimension ~= redis.pcall('STRLEN', own .. 'centroids') then
    return nil
  end
  local names = {}
  for _, part in ipairs({'meta', 'centroids', 'projection', 'pca', 'splits', 'log', 'trimmed', 'known'}) do
    names[#names + 1] = own .. part
  end
  for cell = 0, clusters + 2 * splits - 1 do
    names[#names + 1] = own .. 'cell:' .. cell
  end
  return names
end

-- Make a generation that was live the previous one, for so many milliseconds; 0 keeps none. What is not whole is not
-- kept, and does not take the place of one that is.
local function keep(prefix, generation, keep_ms)
  local names = keys_of(prefix, generation)
  if keep_ms == 0 then
    redis.call('DEL', prefix .. 'previous')
  elseif names then
    for _, name in ipairs(names) do
      redis.call('PEXPIRE', name, keep_ms + SLACK_MS)
    end
    redis.call('SET', prefix .. 'previous', generation, 'PX', keep_ms)
  end
  return names ~= nil and keep_ms > 0
end

-- Whether a generation has had other events than so many, the last of which begins so.
local function has_news(log, trimmed, events, last_begins)
  local count = tonumber(redis.call('GET', trimmed) or '0') + redis.call('LLEN', log)
  local last = redis.call('LINDEX', log, -1) or ''
  return count ~= tonumber(events) or string.sub(last, 1, #last_begins) ~= last_begins
end
