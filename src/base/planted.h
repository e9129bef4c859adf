/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * planted - bugs that are put in on purpose, one at a time, to see that the tests find them.
 *
 * PLANTED(name) stands in the condition that such a bug would get wrong.  It is the constant 0 in every flavour but
 * `planted`, so that nothing that is delivered has anything of it.  There it is true when the environment's
 * TIDEMARK_PLANTED names this bug; a name that is not in the list below ends the program at its start.
 *
 * tests/harness/planted.txt says of each what it breaks and which test must see it; `make harness-check` tries them all.
 * Threads: any.
 */
#ifndef BASE_PLANTED_H
#define BASE_PLANTED_H

#include <stdbool.h>

#define PLANTED_BUGS(X) \
	/* ground */ \
	X(digest_begins_late) \
	/* sees */ \
	X(overflow_ignored) \
	X(unknown_watch_ignored) \
	X(unmount_ignored) \
	X(foreign_cookie_believed) \
	X(listing_before_watch) \
	X(newer_change_lost) \
	X(young_file_behind_cookie) \
	X(blind_change_overlooked) \
	/* remembers */ \
	X(row_checksum_ignored) \
	X(failed_commit_forgiven) \
	X(damaged_store_kept) \
	X(no_memory_is_damage) \
	X(rebuilt_journal_without_rescan) \
	X(row_moved_past_cookie) \
	X(pending_hint_believed) \
	X(full_disk_forgotten) \
	X(room_lack_forgotten) \
	X(full_flag_believed) \
	X(panic_passes) \
	X(cookie_of_lost_root) \
	X(flag_lowered_for_all) \
	/* compares */ \
	X(flight_mark_not_written) \
	X(flight_mark_ignored) \
	X(torn_read_believed) \
	X(row_gone_when_received) \
	X(barrier_past_open_rescans) \
	X(barrier_past_unsent_names) \
	X(scan_past_names_on_their_way) \
	X(absent_area_believed) \
	X(unmounted_volume_believed) \
	X(lost_volume_forgotten) \
	X(ctime_ignored) \
	X(stale_hashes_kept) \
	X(hashes_outlive_file) \
	X(unsaved_hashes_believed) \
	X(lacking_for_want_of_memory) \
	X(young_stamp_recorded) \
	X(agreement_by_size) \
	X(day_of_utc) \
	X(missed_run_twice) \
	X(copy_without_lock) \
	X(old_copy_believed) \
	X(stamp_of_the_end) \
	X(stamp_without_a_set) \
	/* speaks */ \
	X(frame_length_unbounded) \
	X(climbing_path_allowed) \
	X(symlink_followed) \
	X(token_not_checked) \
	X(token_without_end) \
	X(token_not_burned) \
	X(client_pin_not_checked) \
	X(server_pin_not_checked) \
	X(second_collector_let_in) \
	X(release_of_one_signer) \
	X(release_signatures_unread) \
	X(release_of_any_platform) \
	X(release_never_expires) \
	X(older_release_taken) \
	X(release_bytes_unread) \
	X(revoked_session_kept) \
	/* keeps: staging */ \
	X(broken_index_kept) \
	X(short_read_ignored) \
	X(short_write_ignored) \
	X(file_not_synced) \
	X(directory_not_synced) \
	X(replacement_not_synced) \
	X(published_name_not_synced) \
	X(ack_before_sync) \
	X(rows_before_bytes) \
	X(blob_overwritten) \
	X(patch_not_marked) \
	X(joined_pieces_not_verified) \
	X(blocks_of_another_file) \
	X(batch_behind_forgotten) \
	X(hold_kept_after_stop) \
	X(total_not_compared) \
	/* keeps: sets */ \
	X(report_lost) \
	X(name_before_sync) \
	X(manifest_not_synced) \
	X(set_not_synced) \
	X(late_stop_ignored) \
	X(changed_file_linked) \
	X(sealed_digest_not_compared) \
	X(lost_folder_ignored) \
	X(removal_after_t0_counted) \
	X(writer_at_the_seal_ignored) \
	X(folders_left_to_the_receiver) \
	X(order_shortens_keep_days) \
	X(manifest_not_checked) \
	X(scrub_without_reading) \
	X(scrub_begins_anew) \
	X(unreadable_inode_ends_all) \
	X(unlooked_is_gone) \
	X(second_seal_refused) \
	X(unlisted_is_gone) \
	X(verify_by_size) \
	X(newest_version_restored) \
	X(blob_swept_from_a_set) \
	X(unknown_set_ignored) \
	X(age_by_the_collectors_clock) \
	X(clock_jump_ignored) \
	X(damaged_set_counted) \
	X(age_alone_deletes)

#ifdef TIDEMARK_WITH_PLANTED

enum planted_bug {
#define X(name) PLANTED_##name,
	PLANTED_BUGS(X)
#undef X
	PLANTED_COUNT
};

bool planted(enum planted_bug bug);

#define PLANTED(name) planted(PLANTED_##name)

#else

#define PLANTED(name) 0

#endif

#endif
