"""The defences whose removal a test must notice: where each is, what its removal looks like, which test.

`python -m tests.mutations [--page] [--jobs N] [word …]` removes them one at a time in a copy of the project
(how: mutation_runner.py); words choose by defence, file or test.
"""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """A defence: where it is, what its removal looks like, the test that notices. old must occur exactly
    once."""

    defence: str
    file: str
    old: str
    new: str
    test: str


LANE = "tests/integration/test_g2_lane.py::"
ROUTER = "tests/integration/test_g2_router.py::"
DELIVERY = "tests/integration/test_g4_delivery.py::"
CASES_APART = "tests/integration/test_g5_delivery_lane.py::"
REPAIR = "tests/integration/test_g5_repair.py::"
MACHINE = "tests/integration/test_g2_store_and_worker.py::"
TABLES = "tests/integration/test_g2_tables.py::"
TAKE_OVER = "tests/integration/test_g2_takeover.py::"
CLOCK = "tests/unit/test_lanes_clock.py::"
ASSIGNMENT = "tests/unit/test_lanes_assignment.py::"
ROUTER_LANE = "tests/unit/test_router_lane.py::"

BRIDGE = "tests/integration/test_g3_bridge.py::"
BRIDGE_TARGET = "tests/integration/test_g3_bridge_target.py::"
SHELF = "tests/unit/test_bridge_shelf.py::"
REFUSAL = "tests/unit/test_bridge_refusal.py::"
SUMS = "tests/unit/test_bridge_sums.py::"
REGIONS = "tests/unit/test_routing_regions.py::"
SEALS = "tests/unit/test_seal_commands.py::"
OFD = "tests/unit/test_signing_ofd.py::"
NOTICES = "tests/integration/test_notices_role.py::"

LEAVES = "tests/unit/test_g7_evidence_leaves.py::"

MUTATIONS = (
    Mutation(
        "evidence follows the router's chain",
        "hub/evidence/leaves.py",
        "        if after.head != wanted:\n",
        "        if False:\n",
        LEAVES + "test_g7_a_changed_ledger_is_noticed",
    ),
    Mutation(
        "an interval of evidence ends where a transaction ended",
        "hub/evidence/leaves.py",
        '        self._unlinked.append(record.value or b"")\n        for name',
        "        self._ready = len(self._leaves)\n        for name",
        LEAVES + "test_g7_an_interval_ends_where_a_transaction_ended",
    ),
    Mutation(
        "a line proves only what was hashed",
        "hub/evidence/verify.py",
        "        if leaf.hex() != one.hash:\n",
        "        if False:\n",
        "tests/unit/test_g7_evidence_file.py::test_g7_each_change_is_named",
    ),
    Mutation(
        "a peer takes only an anchor that follows",
        "stubs/witness.py",
        "if anchor.number == last.number + 1 and not anchor.follows(last):",
        "if False:",
        "tests/unit/test_stub_witness.py::test_g7_another_history_is_refused",
    ),
    Mutation(
        "a closing names the one before it",
        "hub/books/closing.py",
        "    if closing.previous != expected:\n",
        "    if False:\n",
        "tests/unit/test_r29_closings.py::test_r29_what_was_changed_is_found",
    ),
    Mutation(
        "who counted while the books were closed writes nothing",
        "hub/books/closing.py",
        "        if len(await read_chain(settings)) != closings:\n",
        "        if False:\n",
        "tests/integration/test_r29_books_by_command.py::test_r29_of_two_who_close_the_books_at_once_one_does",
    ),
    Mutation(
        "nothing unfinished is trimmed",
        "hub/books/trim.py",
        "found[place] = min(found.get(place, bound), bound)",
        "found.pop(place, bound)",
        "tests/unit/test_r23_trim.py::test_r23_unfinished_messages_and_dispatches_keep_their_records",
    ),
    Mutation(
        "what is older than memory is archived",
        "hub/routing/decide.py",
        "    elif not state and _older_than_memory(message, limits.keep_closed_ms, now_ms):\n",
        "    elif False:\n",
        "tests/unit/test_g8_archive.py::test_g8_then_it_is_forgotten_and_its_repeat_is_refused_as_archived",
    ),
    Mutation(
        "await every produce future before the commit",
        "hub/kafka/producers.py",
        "    if refused is not None:\n        raise refused\n",
        "",
        LANE + "test_one_refused_output_takes_everything_back",
    ),
    Mutation(
        "the position record is the input position",
        "hub/lanes/lane.py",
        "position.positions.get(self._name(place), starts[place])",
        "starts[place]",
        LANE + "test_reopened_lane_goes_on_where_its_last_transaction_ended",
    ),
    Mutation(
        "one transactional id per lane fences the predecessor",
        "hub/lanes/lane.py",
        'f"{settings.topic_prefix}{spec.role}.{spec.name}"',
        'f"{settings.topic_prefix}{spec.role}.{spec.name}.{uuid.uuid4()}"',
        LANE + "test_successor_fences_its_predecessor",
    ),
    Mutation(
        "the store is written only after the commit",
        "hub/lanes/lane.py",
        "        first = await self._producer.commit({**outputs, place: logged}, moved, self._group)\n",
        "        follower.wrote(applied, follower.next)\n"
        "        first = await self._producer.commit({**outputs, place: logged}, moved, self._group)\n",
        LANE + "test_one_refused_output_takes_everything_back",
    ),
    Mutation(
        "a store behind its changelog replays the tail",
        "hub/lanes/restore.py",
        "            self.apply(records)\n",
        "            if known < 0:\n                self.apply(records)\n",
        LANE + "test_store_that_missed_the_last_write_replays_only_the_tail",
    ),
    Mutation(
        "a store of another log is wiped",
        "hub/lanes/restore.py",
        "if self.incarnation and incarnation != self.incarnation:",
        "if False:",
        LANE + "test_store_of_another_log_is_wiped",
    ),
    Mutation(
        "a store whose last record the log does not have is begun again",
        "hub/lanes/restore.py",
        "                self._recognise(records[0])\n",
        "",
        "tests/unit/test_lane_lost_tail.py::test_a_store_that_knows_a_lost_end_is_begun_again",
    ),
    Mutation(
        "a position outside the log stops the lane",
        "hub/lanes/lane.py",
        "if not starts[place] <= offset <= ends[place]:",
        "if False:",
        LANE + "test_position_below_the_log_start_stops_the_lane",
    ),
    Mutation(
        "a message id is routed once",
        "hub/routing/decide.py",
        "    if found is not None:\n        return _seen_before",
        "    if False:\n        return _seen_before",
        ROUTER + "test_repeated_messages_are_routed_once_and_conflicts_are_told",
    ),
    Mutation(
        "a blind call with unknown outcome is never repeated",
        "hub/delivery/resolve.py",
        "if policy.guarantee is Guarantee.BLIND:",
        "if False:",
        DELIVERY + "test_blind_member_whose_reply_is_lost_is_in_doubt_and_never_called_twice",
    ),
    Mutation(
        "a queryable member is asked before it is called again",
        "hub/delivery/resolve.py",
        "    if policy.guarantee is Guarantee.QUERYABLE:\n",
        "    if False:\n",
        DELIVERY + "test_queryable_member_is_asked_and_not_called_twice",
    ),
    Mutation(
        "an intent is durable before the call",
        "hub/delivery/lane.py",
        "            turn.changes[intent_key(entry.subject)] = encode(intent)\n",
        "",
        DELIVERY + "test_successor_of_a_killed_lane_leaves_a_blind_call_in_doubt",
    ),
    Mutation(
        "what stands behind a parked dispatch waits",
        "hub/delivery/lane.py",
        "        if hold is None:\n            turn.keep",
        "        if True:\n            turn.keep",
        DELIVERY + "test_late_arrivals_of_a_held_case_wait_behind_it",
    ),
    Mutation(
        "failures over several cases are the member's",
        "hub/delivery/lane.py",
        "others_succeed=case.failures > 0 and self._breaker.successes > case.successes_before",
        "others_succeed=True",
        DELIVERY + "test_dead_member_parks_nothing_and_everything_arrives_when_it_is_back",
    ),
    Mutation(
        "a call's window starts before its intent's commit",
        "hub/delivery/lane.py",
        "self._calls.start(case, entry, began,",
        "self._calls.start(case, entry, time.monotonic(),",
        CASES_APART + "test_g4_call_does_not_start_when_the_commit_of_its_intent_took_too_long",
    ),
    Mutation(
        "a lost cancellation is repeated",
        "hub/ending.py",
        "{task}, timeout=again_s)",
        "{task}, timeout=1.0)\n        return",
        "tests/unit/test_ending.py::test_a_task_that_lost_a_cancellation_is_cancelled_again",
    ),
    Mutation(
        "a call's window widens with slow commits",
        "hub/delivery/window.py",
        "        wanted = max(",
        "        wanted = self._ms_min or max(",
        CASES_APART + "test_g5_calls_start_although_every_commit_takes_longer_than_the_members_window",
    ),
    Mutation(
        "a successor waits for the window of the intent it finds",
        "hub/delivery/recovery.py",
        "recovery_wait_ms(policy, intent.window_ms)",
        "recovery_wait_ms(policy, 0)",
        CASES_APART + "test_g4_successor_waits_for_the_window_of_the_intent_it_finds",
    ),
    Mutation(
        "an open breaker over an empty queue takes in",
        "hub/delivery/lane.py",
        "not self._breaker.is_open or book.taken_in == 0",
        "not self._breaker.is_open",
        CASES_APART + "test_g5_open_breaker_over_an_empty_queue_still_takes_in",
    ),
    Mutation(
        "a lane without room for a call does not spin",
        "hub/delivery/lane.py",
        "self._book.next_due() if self._room(now) > 0 else None",
        "self._book.next_due()",
        CASES_APART + "test_g5_lane_does_not_spin_while_its_member_is_away",
    ),
    Mutation(
        "a silent blind member opens the breaker",
        "hub/delivery/lane.py",
        'elif call.reply.kind is ReplyKind.UNKNOWN and call.reply.code != "restarted":',
        "elif False:",
        CASES_APART + "test_g5_silent_blind_member_does_not_get_every_case_in_doubt",
    ),
    Mutation(
        "a call that had no effect leaves no intent behind",
        "hub/delivery/lane.py",
        "if not call.queried and call.reply.kind in _NOT_DONE:",
        "if False:",
        CASES_APART + "test_g5_restart_while_a_blind_member_is_away_puts_nothing_in_doubt",
    ),
    Mutation(
        "a dispatch that waits is not taken in again",
        "hub/delivery/lane.py",
        "if self._book.holds(entry) or",
        "if",
        CASES_APART + "test_g4_dispatch_that_comes_twice_while_it_waits_is_called_once",
    ),
    Mutation(
        "a record nobody can read is passed",
        "hub/delivery/lane.py",
        "        except ValueError as error:\n            # The router",
        "        except KeyError as error:\n            # The router",
        CASES_APART + "test_g5_record_nobody_can_read_is_passed_and_the_next_is_delivered",
    ),
    Mutation(
        "an answer that breaks its contract parks one case",
        "hub/delivery/lane.py",
        "except Exception as error:  # noqa: BLE001 - a member's",
        "except KeyError as error:  # noqa: BLE001 - a member's",
        CASES_APART + "test_g5_message_in_an_answer_that_breaks_its_contract_parks_the_case_and_not_the_lane",
    ),
    Mutation(
        "a member's words are made legible",
        "hub/delivery/calls.py",
        "    if text.isprintable() and len(text) <= chars_max:\n",
        "    if True:\n",
        CASES_APART + "test_g5_whatever_a_refusal_says_it_reaches_the_sender",
    ),
    Mutation(
        "the brake does not count what waits behind its own case",
        "hub/router/brake.py",
        " and verdict.reason != _BEHIND",
        "",
        ROUTER_LANE + "test_g5_one_parked_case_that_goes_on_receiving_does_not_pull_the_brake",
    ),
    Mutation(
        "a timer that fails is set aside",
        "hub/router/lane.py",
        "                self._trouble.stuck.add(timer)\n                continue",
        "                raise",
        ROUTER_LANE + "test_g5_timer_that_fails_waits_and_the_others_go_on",
    ),
    Mutation(
        "a command refused alone is used up",
        "hub/router/lane.py",
        "        if (record.topic, record.offset) == self._trouble.park:\n            log.error",
        "        if False:\n            log.error",
        ROUTER_LANE + "test_g5_command_whose_outputs_are_refused_is_used_up_and_parks_nobody",
    ),
    Mutation(
        "a store held by another process is waited for",
        "hub/lanes/store.py",
        "raise StoreBusy(",
        "raise RuntimeError(",
        MACHINE + "test_store_held_by_another_process_is_busy_and_no_defect",
    ),
    Mutation(
        "a damaged store is begun again",
        "hub/lanes/store.py",
        'if "corruption" in text.lower():',
        "if False:",
        MACHINE + "test_damaged_store_is_begun_again_because_the_changelog_has_everything",
    ),
    Mutation(
        "a store that outgrows its limit stops its lane",
        "hub/lanes/lane.py",
        "        if size > most:\n",
        "        if False:\n",
        MACHINE + "test_lane_whose_store_outgrows_its_limit_stops_and_says_which_setting",
    ),
    Mutation(
        "a store that cannot be written is a failure of its lane",
        "hub/lanes/store.py",
        "            raise StoreFailed(",
        "            raise RuntimeError(",
        MACHINE + "test_store_that_cannot_be_written_says_so_and_the_lane_tries_again",
    ),
    Mutation(
        "a lane lets go of its reader however its closing ends",
        "hub/lanes/lane.py",
        "        finally:\n            if reader is not None:",
        "        except ZeroDivisionError:\n            if reader is not None:",
        MACHINE + "test_closing_that_is_interrupted_still_lets_go_of_everything",
    ),
    Mutation(
        "a rebalance during the closing opens nothing",
        "hub/lanes/worker.py",
        "        if self._ending:\n",
        "        if False:\n",
        MACHINE + "test_rebalance_during_the_closing_opens_no_lane",
    ),
    Mutation(
        "a fenced lane waits until the group confirmed its member",
        "hub/lanes/worker.py",
        "if self._member is not None and await self._member.confirmed():",
        "if True:",
        TAKE_OVER + "test_fenced_lane_is_not_opened_before_the_group_confirmed_its_member",
    ),
    Mutation(
        "a fence between two sends is a fence",
        "hub/kafka/producers.py",
        "            aiokafka.errors.IllegalOperation,\n",
        "",
        TAKE_OVER + "test_lane_that_is_fenced_between_two_sends_is_fenced_and_not_dead",
    ),
    Mutation(
        "a worker whose lane has no task ends",
        "hub/lanes/worker.py",
        "if time.monotonic() - broken_since > _INVARIANT_S / 2:",
        "if False:",
        TAKE_OVER + "test_worker_whose_lane_has_no_task_ends_so_that_another_is_started",
    ),
    Mutation(
        "a commit without an answer leaves the store as it was",
        "hub/kafka/producers.py",
        "            raise UnknownOutcome(repr(error)) from error\n",
        "            return first\n",
        TAKE_OVER + "test_commit_whose_answer_never_came_is_settled_by_the_changelog",
    ),
    Mutation(
        "the producing of a transaction is bounded",
        "hub/kafka/producers.py",
        "            async with asyncio.timeout(self._settings.transaction_timeout_ms / 1000):\n"
        "                await producer.begin_transaction()",
        "            if True:\n                await producer.begin_transaction()",
        TAKE_OVER + "test_producer_that_gets_no_acknowledgement_does_not_hold_its_lane_for_ever",
    ),
    Mutation(
        "a store that is too old is restored in full",
        "hub/lanes/restore.py",
        '        return "too_old"\n',
        '        return ""\n',
        TAKE_OVER + "test_store_that_may_have_missed_a_tombstone_is_restored_in_full",
    ),
    Mutation(
        "only a store in step with its changelog is made younger",
        "hub/lanes/lane.py",
        "if 0 <= end - self.follower.next <= 1 and",
        "if",
        TAKE_OVER
        + "test_idle_store_in_step_with_its_changelog_does_not_grow_old_and_one_that_is_behind_does",
    ),
    Mutation(
        "a worker started again leaves in its dead predecessor's name",
        "hub/lanes/worker.py",
        "if self._home.predecessor:",
        "if False:",
        TAKE_OVER + "test_worker_that_was_killed_and_started_again_does_not_wait_for_its_own_session",
    ),
    Mutation(
        "a restore lets the other lanes go on",
        "hub/lanes/restore.py",
        "batch_max=_SLICE_RECORDS_MAX\n",
        "batch_max=1 << 20\n",
        TAKE_OVER + "test_lanes_go_on_while_another_is_restored_and_the_restore_says_how_far_it_is",
    ),
    Mutation(
        "a stand-by of another log begins again",
        "hub/lanes/restore.py",
        '            await asyncio.to_thread(self.store.wipe)\n            self.incarnation = ""\n',
        '            self.incarnation = ""\n',
        TAKE_OVER + "test_stand_by_whose_log_is_made_anew_begins_again",
    ),
    Mutation(
        "processes that share a data directory do not stand by for each other",
        "hub/lanes/standby.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        TAKE_OVER + "test_two_processes_in_one_data_directory_never_stand_by_for_each_other",
    ),
    Mutation(
        "a lane without an owner goes where its state is",
        "hub/lanes/assignment.py",
        "key=lambda i: (full(i), _cold(abouts[i], lane), load[i], i))",
        "key=lambda i: (full(i), load[i], i))",
        ASSIGNMENT + "test_lanes_of_a_dead_worker_go_to_those_who_stood_by_and_the_others_stay",
    ),
    Mutation(
        "a worker that joins comes near its lanes first",
        "hub/lanes/assignment.py",
        "if owner is not None and _cold(abouts[chosen], lane) == _COLD and _can_warm(abouts[chosen]):",
        "if False:",
        ASSIGNMENT + "test_a_worker_that_joins_comes_near_its_share_first_and_then_takes_it_and_no_more",
    ),
    Mutation(
        "of two that claim a lane the later assignment is believed",
        "hub/lanes/assignment.py",
        "    claims.sort(key=lambda i: -abouts[i].generation)\n",
        "",
        ASSIGNMENT + "test_of_two_that_say_a_lane_is_open_the_later_assignment_is_believed",
    ),
    Mutation(
        "a clock that jumped fires nothing",
        "hub/router/lane.py",
        "timers = [] if self._clock.alarm else self._due(now_ms)",
        "timers = self._due(self._clock._wall())",
        CLOCK + "test_a_clock_jump_fires_no_timer_and_the_messages_go_on",
    ),
    Mutation(
        "a jump in small steps is a jump",
        "hub/lanes/clock.py",
        "max(-follow, min(follow, jump))",
        "jump",
        CLOCK + "test_a_jump_in_small_steps_is_a_jump_and_a_slow_correction_is_none",
    ),
    Mutation(
        "a timer set before the lowest is found",
        "hub/lanes/timers.py",
        "self._lowest_ms = min(self._lowest_ms, due_ms)",
        "pass",
        CLOCK + "test_a_timer_set_before_the_lowest_is_found",
    ),
    Mutation(
        "a person's word on a clock is about the jump that person saw",
        "hub/lanes/clock.py",
        "        if not self.alarm or abs(self.jump_ms - jump_ms) > self._jump_ms_max:\n            log",
        "        if not self.alarm:\n            log",
        CLOCK + "test_a_jump_that_a_person_looked_at_is_believed_and_a_later_one_is_not",
    ),
    Mutation(
        "a lane that comes back waits until its old store is gone",
        "hub/lanes/worker.py",
        "            self._closing[one.place] = removing\n",
        "",
        "tests/unit/test_lanes_leftovers.py::test_a_lane_that_comes_back_waits_until_its_old_store_is_gone",
    ),
    Mutation(
        "an open store is no leftover",
        "hub/lanes/leftovers.py",
        "        Rdict.destroy(str(path))\n",
        "        __import__('shutil').rmtree(path)\n",
        "tests/unit/test_lanes_leftovers.py::test_a_store_that_is_open_stays_whoever_has_it_open",
    ),
    Mutation(
        "the broker's errors reopen a lane",
        "hub/kafka/readers.py",
        "        raise BrokerAway(repr(error)) from error\n\n\nclass Reader",
        "        raise\n\n\nclass Reader",
        MACHINE + "test_reader_whose_broker_is_away_says_so_in_the_hubs_words",
    ),
    Mutation(
        "credit standings delay no directory",
        "hub/tables.py",
        "            if self._apply(records):\n",
        "            if self._apply(records) or (records and changed_at):\n",
        TABLES + "test_directory_change_is_taken_while_credit_standings_keep_coming",
    ),
    Mutation(
        "bridge: the cursor is in the transaction of the copies",
        "hub/bridge/lane.py",
        "changes = {**batch.changes, cursor_key(self.name): cursor}",
        'changes = {**batch.changes, b"elsewhere": cursor}',
        BRIDGE + "test_g3_the_cursor_is_read_past_open_transactions_of_other_lanes",
    ),
    Mutation(
        "bridge: the cursor is read up to the high watermark",
        "hub/bridge/changelog.py",
        "ends = await watermarks.ends([place])",
        "ends = await reader.stable_offsets([place])",
        BRIDGE + "test_g3_the_cursor_is_read_past_open_transactions_of_other_lanes",
    ),
    Mutation(
        "bridge: one transactional id per source partition",
        "hub/bridge/lane.py",
        'f"{target.topic_prefix}bridge.{name}"',
        'f"{target.topic_prefix}bridge.{name}.{id(self)}"',
        BRIDGE + "test_g3_a_successor_fences_its_predecessor",
    ),
    Mutation(
        "bridge: a topic made anew stops the lane",
        "hub/bridge/check.py",
        "if mark.topic_id != found.topic_id:",
        "if False:",
        BRIDGE + "test_g3_a_cursor_of_another_log_stops_the_lane_and_says_why",
    ),
    Mutation(
        "bridge: a log that begins beyond the cursor stops the lane",
        "hub/bridge/check.py",
        "if found.start > mark.next:",
        "if False:",
        BRIDGE + "test_g3_a_log_that_begins_beyond_the_cursor_stops_the_lane",
    ),
    Mutation(
        "bridge: the record copied last is compared",
        "hub/bridge/check.py",
        "if now != (mark.id, mark.timestamp_ms, mark.digest):",
        "if False:",
        BRIDGE + "test_g3_a_cursor_of_another_log_stops_the_lane_and_says_why",
    ),
    Mutation(
        "bridge: what the target refuses is found among what was sent with it",
        "hub/bridge/refusal.py",
        "return self.input == input_ and offset <= self.last",
        "return False",
        BRIDGE_TARGET + "test_g3_a_record_the_target_refuses_pauses_the_lane_which_says_so_and_goes_on",
    ),
    Mutation(
        "bridge: a refused record is tried ever more rarely",
        "hub/bridge/refusal.py",
        "delay_ms = min(retry_ms * 2 ** min(tries - 1, 30), retry_ms_max)",
        "delay_ms = retry_ms",
        REFUSAL + "test_it_is_tried_ever_more_rarely_up_to_the_bound",
    ),
    Mutation(
        "bridge: a write that is not allowed is told from a broker that is away",
        "hub/kafka/producers.py",
        "_REFUSED_FOR_GOOD: Final = (",
        "_REFUSED_FOR_GOOD: Final = ()\n_UNUSED: Final = (",
        BRIDGE_TARGET + "test_g3_a_write_that_is_not_allowed_over_there_pauses_the_lane",
    ),
    Mutation(
        "bridge: another target cluster than the recorded one gets nothing",
        "hub/bridge/check.py",
        "if found == known:",
        "if True:",
        BRIDGE_TARGET + "test_g3_a_third_cluster_gets_nothing_until_a_person_accepts_it",
    ),
    Mutation(
        "bridge: a target whose bridge.changelog was made anew gets nothing",
        "hub/bridge/check.py",
        "if found == known:",
        "if found.cluster_id == known.cluster_id:",
        BRIDGE_TARGET + "test_g3_a_target_that_lost_its_cursors_gets_nothing_again",
    ),
    Mutation(
        "bridge: nothing is copied to a hub it has been through",
        "hub/bridge/copying.py",
        "if self._target in via or self._region in via:",
        "if False:",
        BRIDGE + "test_what_has_been_through_the_other_hub_is_refused_and_not_copied",
    ),
    Mutation(
        "bridge: only what carries our neighbour's mark is acknowledged",
        "hub/bridge/acknowledging.py",
        "if via[-1:] != (self._target,):",
        "if False:",
        BRIDGE + "test_an_acknowledgement_has_a_derived_id_and_is_never_acknowledged",
    ),
    Mutation(
        "bridge: a schema id must mean the same in the target",
        "hub/bridge/contracts.py",
        "if contracts.canonical(theirs) != contracts.canonical(ours.avro):",
        "if False:",
        BRIDGE + "test_a_schema_id_unknown_or_different_in_the_target_pauses_the_lane",
    ),
    Mutation(
        "bridge: what is under way comes back with its lane",
        "hub/bridge/acknowledging.py",
        "self._shelf.put({key: value for key, value in changes.items() if is_sum(key, self._lane)})",
        "pass",
        BRIDGE + "test_the_other_region_is_told_what_became_of_its_message",
    ),
    Mutation(
        "bridge: what is under way is bounded in memory",
        "hub/bridge/shelf.py",
        'f"cache_size=-{max(1, cache_bytes // 1024)}"',
        '"cache_size=-1048576"',
        SHELF + "test_it_holds_more_than_its_memory_and_leaves_no_file",
    ),
    Mutation(
        "bridge: what is under way is bounded on disk",
        "hub/bridge/shelf.py",
        'f"max_page_count={max(8, bytes_max // _PAGE_BYTES)}"',
        '"max_page_count=1073741823"',
        SHELF + "test_beyond_its_bound_it_fails_and_names_the_setting",
    ),
    Mutation(
        "bridge: delivered only when every member has it",
        "hub/bridge/sums.py",
        "    if len(said) < len(known.dispatches):\n        return None\n",
        "",
        SUMS + "test_what_is_told",
    ),
    Mutation(
        "regions: what came through another hub goes nowhere else",
        "hub/routing/crossing.py",
        "if not tables.remote or message.via:",
        "if not tables.remote:",
        REGIONS + "test_nothing_goes_back_to_a_hub_it_came_through",
    ),
    Mutation(
        "regions: the word of the deciding department's hub stands",
        "hub/routing/crossing.py",
        "return home is not None and passed(message.via)[-1:] == (home,)",
        "return False",
        REGIONS + "test_what_two_regions_say_at_the_same_moment_is_judged_at_the_deciding_departments_hub",
    ),
    Mutation(
        "regions: a hub that takes part sees every message",
        "hub/routing/destinations.py",
        "result.extend(crossing.hubs_of(_taking_part(case, tables), message, tables))",
        "result.extend(crossing.hubs_of((case.owner,), message, tables))",
        REGIONS + "test_f50_f51_two_hubs_hand_over_exactly_what_one_would",
    ),
    Mutation(
        "tables nobody follows are no tables",
        "hub/tables.py",
        "if self._following is not None and self._following.done():",
        "if False:",
        TABLES + "test_tables_nobody_follows_any_more_are_no_tables",
    ),
    Mutation(
        "a command is for one standstill only: it names the dispatch and its calls",
        "hub/delivery/commands.py",
        '    if command.attempts != attempts:\n        return "called_since"\n',
        "",
        REPAIR + "test_g4_doubt_settled_as_not_delivered_is_called_once_more_and_not_twice",
    ),
    Mutation(
        "a doubt is not redriven",
        "hub/delivery/commands.py",
        '("redrive", ""): (frozenset({Outcome.PARKED}),',
        '("redrive", ""): (frozenset(Outcome),',
        REPAIR + "test_g4_doubt_settled_as_not_delivered_is_called_once_more_and_not_twice",
    ),
    Mutation(
        "content that the store keeps only by its place is read from the log again",
        "hub/delivery/turn.py",
        "await log.filled(decode_entry(raw))",
        "decode_entry(raw)",
        REPAIR + "test_r27_redriven_case_goes_on_in_order_under_the_same_ids",
    ),
    Mutation(
        "suspension is part of the lane's state",
        "hub/delivery/repair.py",
        "        turn.changes[SUSPENDED_KEY] = encode(self.suspended) if self.suspended else None\n",
        "",
        REPAIR + "test_r27_suspended_member_is_not_called_until_it_is_resumed",
    ),
    Mutation(
        "a refused transaction of a delivery lane is taken again step by step",
        "hub/delivery/trouble.py",
        "            if not trouble.learn(error):\n                raise\n",
        "            pass\n",
        REPAIR + "test_g5_result_the_broker_refuses_parks_its_own_case_and_no_doubt_comes_of_the_others",
    ),
    Mutation(
        "answers outlive a reopening",
        "hub/delivery/lane.py",
        "            await self._keep_answers()\n",
        "",
        REPAIR + "test_g5_result_the_broker_refuses_parks_its_own_case_and_no_doubt_comes_of_the_others",
    ),
    Mutation(
        "a planned stop lets calls end",
        "hub/lanes/worker.py",
        "            await self._resting.rest(leaving=True)\n",
        "            pass\n",
        REPAIR + "test_g4_planned_stop_lets_a_blind_call_end_and_begins_no_other",
    ),
    Mutation(
        "one writer of the seal book at a time",
        "hub/seals/book.py",
        "            fcntl.flock(descriptor, fcntl.LOCK_EX)\n",
        "",
        SEALS + "test_two_writers_make_one_chain",
    ),
    Mutation(
        "a line cut by a crash is removed before the next is written",
        "hub/seals/book.py",
        "            try:\n                os.ftruncate(descriptor, len(whole))\n",
        "            try:\n",
        SEALS + "test_a_line_cut_by_a_crash_does_not_count_and_does_not_block",
    ),
    Mutation(
        "the use of a seal is written down before the signature is handed out",
        "hub/seals/acts.py",
        '    book.add("sign", es_id, by, given.now, detail)\n',
        "",
        SEALS + "test_f79_a_seal_that_is_lost_while_somebody_signs_gives_no_signature",
    ),
    Mutation(
        "OFD: what was added after sealing is told",
        "signing/ofd/checking.py",
        "        _coverage_step(ofd, document, signature, own),\n",
        "",
        OFD + "test_what_was_done_to_a_sealed_document_is_told_by_step_and_file",
    ),
    Mutation(
        "OFD: a reader that walks the entries meets the files of the directory",
        "signing/ofd/package.py",
        "        if entry.offset != following:\n",
        "        if entry.offset < 0:\n",
        OFD + "test_an_entry_that_only_a_streaming_reader_sees_is_refused",
    ),
    Mutation(
        "OFD: an entry has the name that the directory gives it",
        "signing/ofd/package.py",
        " or told != (entry.flags, entry.method, entry.moment, entry.raw_name)",
        "",
        OFD + "test_a_package_that_two_readers_could_read_differently_is_refused",
    ),
    Mutation(
        "OFD: a protected list of signatures takes no further seal",
        "signing/ofd/sealing.py",
        "    _must_be_open(ofd, document)\n",
        "",
        OFD + "test_a_document_whose_list_of_signatures_is_protected_takes_no_further_seal",
    ),
    Mutation(
        "a notice that is there is never written again",
        "hub/notices/store.py",
        "        os.link(draft, path)\n",
        "        os.replace(draft, path)\n",
        "tests/unit/test_notices.py::test_a_file_that_is_there_is_never_written_again",
    ),
    Mutation(
        "notices: the position moves only from the value that is known",
        "hub/notices/store.py",
        '            if moved != "UPDATE 1":\n',
        '            if moved == "":\n',
        NOTICES + "test_a_second_process_cannot_write_a_batch_again",
    ),
    Mutation(
        "the second person of a bulk is another person",
        "hub/console/acts.py",
        "        if act.person == person:\n",
        "        if False:\n",
        "tests/console/test_console_repair.py::test_r27_bulk_redrive_waits_for_another_person_and_is_done_once",
    ),
    Mutation(
        "a directory with a member without a topic is not taken",
        "hub/tables.py",
        "        await self._check_topics(known)\n",
        "",
        TABLES + "test_published_member_has_its_topics_and_a_directory_with_one_that_has_none_is_not_taken",
    ),
)


if __name__ == "__main__":
    from tests.mutation_runner import main

    sys.exit(main())
