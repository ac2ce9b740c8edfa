-- Prepended to the scripts that keep the groups of failures of a project. A group has the fingerprint as its name; its keys are
-- those that failureKeys in keys.go names, made here of the key of all groups.
local GROUPS_MOST = 10000 -- of a project; what fails in yet another way goes into the group OTHER
local OTHER = 'other'
local MEMBER_OF_MOST = 50 -- groups that one execution is in; it leaves the oldest
local HOURS = 48 -- of the trend; the fields h0 to h47 hold "<hour since 1970> <failures>"
local WORKFLOWS_MOST = 100 -- names that a group keeps, the last seen

-- Counts a failure of an execution, unless it was counted before: of one execution and group each failure is later than the one before.
local function count_failure(failures, c, id, at, workflow)
  local key = failures .. ':' .. c.fingerprint
  local last = call('ZSCORE', key .. ':seen', id)
  if last and tonumber(last) >= at then return end
  local hour = math.floor(at / 3600000)
  local slot = 'h' .. hour % HOURS
  local g = call('HMGET', key, 'first', 'state', 'at', slot)
  local set = {}
  if not g[1] then
    set = {'first', at, 'state', 'open', 'at', at, 'type', c.type, 'task', c.task, 'code', c.code, 'message', c.message}
  elseif at < tonumber(g[1]) then
    set = {'first', at}
  end
  if g[2] == 'resolved' and at > tonumber(g[3]) then
    for _, v in ipairs({'state', 'open', 'at', at, 'reopened', at}) do set[#set + 1] = v end
  end
  local kept, n = string.match(g[4] or '0 0', '^(%d+) (%d+)$')
  if hour >= tonumber(kept) then
    set[#set + 1] = slot
    set[#set + 1] = hour .. ' ' .. (hour == tonumber(kept) and n + 1 or 1)
  end
  if #set > 0 then call('HSET', key, unpack(set)) end
  call('ZADD', key .. ':seen', at, id)
  local newest = call('ZSCORE', failures, c.fingerprint)
  if not newest or tonumber(newest) < at then call('ZADD', failures, at, c.fingerprint) end
  if workflow ~= '' then call('ZADD', key .. ':workflows', at, workflow) end
  if call('ZCARD', key .. ':workflows') > WORKFLOWS_MOST then call('ZREMRANGEBYRANK', key .. ':workflows', 0, 0) end
end

-- Keeps which groups have open failures, by their state: metrics count them.
local function sort_group(failures, fingerprint)
  local key = failures .. ':' .. fingerprint
  local state = call('EXISTS', key .. ':open') == 1 and call('HGET', key, 'state')
  for _, s in ipairs({'open', 'acknowledged', 'resolved'}) do
    call(s == state and 'SADD' or 'SREM', failures .. '-' .. s, fingerprint)
  end
end

-- An execution leaves a group; a group in which none is left goes.
local function leave_group(failures, fingerprint, id)
  local key = failures .. ':' .. fingerprint
  call('ZREM', key .. ':open', id)
  call('ZREM', key .. ':seen', id)
  sort_group(failures, fingerprint)
  if call('EXISTS', key .. ':seen') == 1 then return end
  call('UNLINK', key, key .. ':workflows')
  call('ZREM', failures, fingerprint)
end

-- The groups that an execution was ever in, the newest first, and when it failed last.
local function member_of(failing, id)
  local at, rest = string.match(call('HGET', failing, id) or '0', '^(%d+)(.*)$')
  local list = {}
  for f in string.gmatch(rest, '%S+') do list[#list + 1] = f end
  return list, tonumber(at)
end

-- Files an execution that failed at a moment under the groups of its causes; it is an open failure in them while it is `failed`,
-- unless a new execution that a redrive made of it, or of one of those, has succeeded since.
local function file_failure(failing, superseded, failures, id, workflow, at, failed, causes)
  local former = member_of(failing, id)
  local open = failed and at > tonumber(call('HGET', superseded, id) or 0)
  local list, now = {}, {}
  for _, c in ipairs(causes) do
    if not call('ZSCORE', failures, c.fingerprint) and call('ZCARD', failures) >= GROUPS_MOST then
      c = {fingerprint = OTHER, type = '', task = '', code = OTHER, message = 'failures beyond the most groups that a project may have'}
    end
    if not now[c.fingerprint] then
      now[c.fingerprint] = true
      list[#list + 1] = c.fingerprint
      count_failure(failures, c, id, at, workflow)
      if open then call('ZADD', failures .. ':' .. c.fingerprint .. ':open', 0, id) end
    end
  end
  for _, f in ipairs(former) do
    if not (open and now[f]) then call('ZREM', failures .. ':' .. f .. ':open', id) end
    if not now[f] then
      if #list < MEMBER_OF_MOST then list[#list + 1] = f else leave_group(failures, f, id) end
    end
  end
  for _, f in ipairs(list) do sort_group(failures, f) end
  call('HSET', failing, id, at .. ' ' .. table.concat(list, ' '))
end
