-- One provider's quotas, held for the whole fleet. All times are microseconds on Redis' own clock.
--
-- KEYS[1]  the provider's base name, in braces so that all of its names share a slot of a cluster
-- ARGV[1]  JSON: op, and what the op needs (see fetch/quota/gate_script.py)
--
-- For each key of the provider and each window w (a quota, or the spacing that a burst limit asks for):
--   c<w>:<b>   granted requests of class b and lower ones, scored by the time at which they leave the window
--   v<w>:<b>   what budget class b sees: the granted ones of all classes, and the reservations of its own and higher ones
--   o<w>:<b>   requests and reservations of class b and lower ones, which its cap holds
-- fly          granted and not answered, scored by the grant;  tickets: reservations, scored by the time of their lapse
--
-- A request leaves a quota's window one window after its ANSWER came: whenever the provider counted it, it was before
-- that. So no delay between here and there can bring more requests into any sliding window than the quota allows.

local a = cjson.decode(ARGV[1])
local base = KEYS[1]
local CLASSES = 3

local now = a.now
if type(now) ~= 'number' then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end

local function text(number) return string.format('%.0f', number) end
local function named(key, what) return base .. ':' .. key .. ':' .. what end
local function class_of(member) return tonumber(string.sub(member, 1, 1)) end

local function members(id, class, weight)
  local made = {}
  for n = 1, weight do made[n] = class .. '|' .. id .. '|' .. n end
  return made
end

-- The mean time that an answer takes, by which the next free slot is foretold.
local function latency(key) return tonumber(redis.call('GET', named(key, 'latency'))) or 20000 end

local function span(window, key)
  if window.hold then return window.us end
  return window.limit * (window.us + 1.2 * latency(key) + 2000) / window.of
end

local function sets(window, class, granted)
  local found = {}
  for b = 0, granted and class or -1 do found[#found + 1] = 'c' .. window.name .. ':' .. b end
  for b = granted and 0 or class, CLASSES - 1 do found[#found + 1] = 'v' .. window.name .. ':' .. b end
  for b = 1, class do found[#found + 1] = 'o' .. window.name .. ':' .. b end
  return found
end

local function all_sets(window)
  local found = {}
  for b = 0, CLASSES - 1 do
    for _, what in ipairs(b > 0 and {'c', 'v', 'o'} or {'c', 'v'}) do found[#found + 1] = what .. window.name .. ':' .. b end
  end
  return found
end

local function write(key, made, window, class, granted, score)
  local args = {}
  for _, member in ipairs(made) do
    args[#args + 1] = text(score)
    args[#args + 1] = member
  end
  for _, set in ipairs(sets(window, class, granted)) do
    redis.call('ZADD', named(key, set), unpack(args))
    redis.call('PEXPIRE', named(key, set), text(a.keep))
  end
end

local function remove(key, made)
  for _, window in ipairs(a.windows) do
    for _, set in ipairs(all_sets(window)) do redis.call('ZREM', named(key, set), unpack(made)) end
  end
  redis.call('ZREM', named(key, 'fly'), unpack(made))
  redis.call('ZREM', named(key, 'tickets'), unpack(made))
end

-- The provider may have counted a request as late as this.
local function counted(key, member, moment)
  for _, window in ipairs(a.windows) do
    if window.hold then
      for _, set in ipairs(sets(window, class_of(member), true)) do
        redis.call('ZADD', named(key, set), 'GT', text(moment + window.us + 1), member)
      end
    end
  end
end

-- What has become true by now: lapsed reservations, expired leases, requests still in flight, ended windows.
local function settle(key)
  local late = redis.call('ZRANGEBYSCORE', named(key, 'tickets'), '-inf', text(now))
  if #late > 0 then remove(key, late) end
  local fly = named(key, 'fly')
  local lost = redis.call('ZRANGEBYSCORE', fly, '-inf', text(now - a.lease), 'WITHSCORES')
  for n = 1, #lost, 2 do counted(key, lost[n], lost[n + 1] + a.lease) end
  redis.call('ZREMRANGEBYSCORE', fly, '-inf', text(now - a.lease))
  for _, member in ipairs(redis.call('ZRANGE', fly, 0, -1)) do counted(key, member, now) end
  for _, window in ipairs(a.windows) do
    for _, set in ipairs(all_sets(window)) do redis.call('ZREMRANGEBYSCORE', named(key, set), '-inf', text(now)) end
  end
end

-- When no more than room - weight of the set's members will be left.
local function leaves(key, set, room)
  local place = room - a.weight
  local found = redis.call('ZREVRANGE', named(key, set), place, place, 'WITHSCORES')
  return tonumber(found[2]) or 0
end

-- The earliest time at which every window has room. A reservation that is confirmed has waited its turn among the
-- reservations: only granted requests count against it, and its class' cap, since it may be confirmed late.
local function earliest(key, confirming)
  local at = now
  for _, window in ipairs(a.windows) do
    local set = confirming and 'c' .. window.name .. ':0' or 'v' .. window.name .. ':' .. a.class
    at = math.max(at, leaves(key, set, window.limit))
    for b = 1, window.hold and a.class or 0 do
      local capped = (confirming and 'c' or 'o') .. window.name .. ':' .. b
      at = math.max(at, leaves(key, capped, math.max(window.caps[b], a.weight)))
    end
  end
  return at
end

local function place(key, granted, at)
  local made = members(a.id, a.class, a.weight)
  for _, window in ipairs(a.windows) do
    local ends = at + span(window, key)
    if window.hold then ends = ends + 1.5 * latency(key) end
    write(key, made, window, a.class, granted, ends)
  end
  local set, score = 'fly', at
  if not granted then set, score = 'tickets', at + a.grace end
  for _, member in ipairs(made) do redis.call('ZADD', named(key, set), text(score), member) end
  redis.call('PEXPIRE', named(key, set), text(a.keep))
end

-- Why a key may not be used now: {reason, until}, or nothing.
local function barred(key)
  local rejected = tonumber(redis.call('GET', named(key, 'rejected')))
  if rejected and rejected > now then return {'key_rejected', rejected} end
  local plan = tonumber(redis.call('HGET', named(key, 'entitlements'), a.endpoint))
  if plan and plan > now then return {'entitlement', plan} end
  local closed = tonumber(redis.call('GET', named(key, 'closed')))
  if closed and closed > now then return {'quota', closed} end
end

-- An open circuit lets one request through at a time once its pause is over.
local function circuit(sends)
  local name = base .. ':circuit'
  local open = tonumber(redis.call('HGET', name, 'until'))
  if not open then return nil end
  if open > now then return open end
  if sends then redis.call('HSET', name, 'until', text(now + a.probe)) end
  return nil
end

local function enter()
  local made = members(a.id, a.class, a.weight)
  local best, at, why
  for _, key in ipairs(a.keys) do
    if a.again then remove(key, made) end
    local bar = barred(key)
    if bar then
      if not why or (bar[1] == 'quota' and why[1] ~= 'quota') or (bar[1] == why[1] and bar[2] < why[2]) then
        why = bar
      end
    else
      settle(key)
      local when = earliest(key, a.again)
      local first = a.windows[1]
      local used = first and redis.call('ZCARD', named(key, 'c' .. first.name .. ':0')) or 0
      if not best or when < at or (when == at and used < best[2]) then best, at = {key, used}, when end
    end
  end
  if not best then return {'refused', why[1], text(why[2] - now)} end
  if at - now > a.longest then return {'far', best[1], text(at - now)} end
  local open = circuit(at <= now)
  if open then return {'refused', 'circuit', text(open - now)} end
  place(best[1], at <= now, at)
  return {at <= now and 'go' or 'wait', best[1], text(math.max(0, at - now))}
end

local function leave()
  local key = a.keys[1]
  local made = members(a.id, a.class, a.weight)
  local began = tonumber(redis.call('ZSCORE', named(key, 'fly'), made[1]))
  if a.outcome == 'unsent' then
    remove(key, made)
    return {'left'}
  end
  redis.call('ZREM', named(key, 'fly'), unpack(made))
  for _, window in ipairs(a.windows) do
    if window.hold then write(key, made, window, a.class, true, now + window.us + 1) end
  end
  local name = base .. ':circuit'
  if a.outcome == 'answered' then
    if began then
      local mean = 0.8 * latency(key) + 0.2 * math.min(now - began, 2000000)
      redis.call('SET', named(key, 'latency'), text(mean), 'PX', text(a.keep))
    end
    redis.call('DEL', name)
  else
    local failures = redis.call('HINCRBY', name, 'failures', 1)
    if failures >= a.failures then
      local pause = a.pause * 2 ^ math.min(failures - a.failures, 4)
      redis.call('HSET', name, 'until', text(now + pause))
    end
    redis.call('PEXPIRE', name, text(600000))
  end
  return {'left'}
end

-- The probe or the reservation is not used after all.
local function cancel()
  remove(a.keys[1], members(a.id, a.class, a.weight))
  return {'cancelled'}
end

local function learn()
  local key, ends = a.keys[1], text(now + a.seconds * 1000000)
  local keep = text(a.seconds * 1000 + 1000)
  if a.what == 'entitlement' then
    redis.call('HSET', named(key, 'entitlements'), a.endpoint, ends)
    redis.call('PEXPIRE', named(key, 'entitlements'), keep)
    return {'learnt'}
  end
  local known = tonumber(redis.call('GET', named(key, a.what))) or 0
  -- Of two answers the one that names the later time holds: a burst's minute does not end a day that is used up.
  if known < tonumber(ends) then redis.call('SET', named(key, a.what), ends, 'PX', keep) end
  return {known <= now and 'first' or 'learnt'}
end

local function standing()
  local found = {text(now), redis.call('HGET', base .. ':circuit', 'until') or '', redis.call('HGET', base .. ':circuit', 'failures') or '0'}
  for _, key in ipairs(a.keys) do
    settle(key)
    found[#found + 1] = redis.call('GET', named(key, 'closed')) or ''
    found[#found + 1] = redis.call('GET', named(key, 'rejected')) or ''
    found[#found + 1] = redis.call('HGETALL', named(key, 'entitlements'))
    local used = {}
    for _, window in ipairs(a.windows) do
      used[#used + 1] = window.hold and text(redis.call('ZCARD', named(key, 'c' .. window.name .. ':0'))) or ''
      used[#used + 1] = text(redis.call('ZCARD', named(key, 'v' .. window.name .. ':2')))
    end
    found[#found + 1] = used
  end
  return found
end

local ops = {enter = enter, leave = leave, cancel = cancel, learn = learn, standing = standing}
return ops[a.op]()
