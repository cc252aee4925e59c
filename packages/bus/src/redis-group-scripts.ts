import { SHARED, script } from "./redis-script.ts";

/**
 * ARGV: group. Creates it at the first entry; gives 1 if it was not there. `base` is what was accepted before
 * the group existed and is gone. A group created anew over entries it had acknowledged gets them again, so its
 * base moves back by as much, and they are settled no more; it never moves forward, which would hide a loss.
 */
export const ENSURE = script(`${SHARED}
local group = ARGV[1]
-- After a write that is never refused Redis refuses none: over its memory limit whoever drains it has to get in.
redis.call('HDEL', ledger, '')
local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
if made.err then
  if not string.find(made.err, 'BUSYGROUP') then return made end
  if redis.call('HEXISTS', ledger, group .. ':settled') == 0 then
    for _, g in ipairs(groups()) do
      if g.name == group then
        local upto = next_ordinal(g['last-delivered-id'], count('accepted')) - 1
        redis.call('HSET', ledger, group .. ':settled', string.format('%.0f', upto))
      end
    end
  end
  return 0
end
local before = next_ordinal('0-0', count('accepted')) - 1
for from, to in pairs(settled_runs(group)) do
  if from > before then redis.call('HDEL', ledger, run_field(group, from))
  elseif to > before then redis.call('HSET', ledger, run_field(group, from), string.format('%.0f', before)) end
end
local settled = tonumber(redis.call('HGET', ledger, group .. ':settled')) or before
redis.call('HSET', ledger, group .. ':settled', string.format('%.0f', math.min(settled, before)))
local base = redis.call('HGET', ledger, group .. ':base')
local had = outcomes(group) - count(group .. ':foreign') + count(group .. ':lost') + count(group .. ':parked')
if base then before = math.min(tonumber(base), before - had) end
redis.call('HSET', ledger, group .. ':base', string.format('%.0f', before))
return 1`);

/** ARGV: accepted. 1 where the stream had counted nothing, and goes on from there now. */
export const RESUME = script(`${SHARED}
if redis.call('EXISTS', stream) == 1 or count('accepted') > 0 then return 0 end
redis.call('HSET', ledger, 'accepted', ARGV[1])
return 1`);

/** Numbers of every group, in one consistent look, as JSON. */
export const STATE = script(`${SHARED}
local accepted = count('accepted')
local result = { accepted = accepted, entries = 0, groups = {} }
if redis.call('EXISTS', stream) == 1 then result.entries = redis.call('XLEN', stream) end
for i, g in ipairs(groups()) do
  local messages, entries, oldest = pending(g.name)
  local consumers = {}
  for k, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, g.name)) do
    local f = fields(c)
    consumers[k] = { name = f.name, pending = f.pending, idleMs = f.idle }
  end
  local n = g.name
  local foreign = count(n .. ':foreign')
  result.groups[i] = {
    group = n, accepted = accepted - count(n .. ':base') + foreign, lost = count(n .. ':lost'),
    parked = count(n .. ':parked'),
    stored = count(n .. ':stored'), duplicate = count(n .. ':duplicate'), quarantined = count(n .. ':quarantined'),
    pending = messages, pendingEntries = entries, oldest = oldest,
    unread = accepted - next_ordinal(g['last-delivered-id'], accepted) + 1,
    unreadEntries = g.lag, lastDeliveredId = g['last-delivered-id'], consumers = consumers,
  }
end
return cjson.encode(result)`);

/** ARGV: group, consumer, ids. Keeps them from being taken over; gives those that are not this consumer's any more. */
export const HOLD = script(`
local gone = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local mine = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if #mine == 1 then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  else gone[#gone + 1] = id end
end
return gone`);

/** ARGV: group, own name, idleMs. Removes the others that have been idle that long and hold nothing. */
export const SWEEP = script(`${SHARED}
local removed = {}
for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, ARGV[1])) do
  local f = fields(c)
  if f.pending == 0 and f.name ~= ARGV[2] and f.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, ARGV[1], f.name)
    removed[#removed + 1] = f.name
  end
end
return removed`);

/** ARGV: group, consumer. Its pending entries may be taken over at once; without any it is removed. */
export const LEAVE = script(`
local ids = {}
for _, p in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, p[1], 'IDLE', 86400000, 'JUSTID')
  ids[#ids + 1] = p[1]
end
if #ids == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #ids`);

/** ARGV: id. Gives group, state pairs. */
export const FATES = script(`${SHARED}
local result = {}
for _, g in ipairs(groups()) do
  result[#result + 1] = g.name
  if before(g['last-delivered-id'], ARGV[1]) then result[#result + 1] = 'unread'
  elseif #redis.call('XPENDING', stream, g.name, ARGV[1], ARGV[1], 1) == 1 then result[#result + 1] = 'pending'
  else result[#result + 1] = 'settled' end
end
return result`);
