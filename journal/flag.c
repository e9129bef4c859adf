/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flag - two sealed numbers in sectors of their own, overwritten in place.
 *
 * Killed between write and sync: the flag is up or it is not, and in the second case the one who wanted it up is dead and
 * rescans at its next start.  A number that fails its seal counts as "up": one scan too many.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/pack.h"
#include "base/planted.h"
#include "journal/flag.h"

#define FILE_NAME "journal.full"
#define FILE_BYTES 4096
#define CELL_BYTES 24
#define AT_RAISED 0   /* sectors of their own: a torn write */
#define AT_LOWERED 512 /* of one cannot harm the other */

struct cell {
	uint64_t number;
	int64_t at_ns;
	bool valid;
};

static void
pack_cell(uint8_t out[CELL_BYTES], uint64_t number, int64_t at_ns)
{
	struct pack_out o = pack_out_fixed(out, CELL_BYTES);

	pack_u64(&o, number);
	pack_i64(&o, at_ns);
	pack_u64(&o, block_checksum(0, out, o.len));
}

static int
read_cell(int fd, uint64_t at, struct cell *ret_cell)
{
	uint8_t bytes[CELL_BYTES] = {0};
	ssize_t got = fsio_pread(fd, bytes, sizeof bytes, at);
	struct pack_in in = pack_in(bytes, sizeof bytes);

	if (got < 0)
		return (int)got;
	ret_cell->number = unpack_u64(&in);
	ret_cell->at_ns = unpack_i64(&in);
	ret_cell->valid = unpack_u64(&in) == block_checksum(0, bytes, CELL_BYTES - 8);
	return 0;
}

static int
write_cell(int fd, uint64_t at, uint64_t number, int64_t at_ns)
{
	uint8_t bytes[CELL_BYTES];
	int err;

	pack_cell(bytes, number, at_ns);
	err = fsio_pwrite(fd, bytes, sizeof bytes, at);
	return err ? err : fsio_sync_file(fd, "journal.flag");
}

static int
lock(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return err_sys("lock " FILE_NAME);
	return 0;
}

/* Real bytes, not a reservation: overwriting them later needs no block and no extent. */
static int
fill(int dirfd, int fd)
{
	uint8_t page[FILE_BYTES] = {0};
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return err_sys("stat " FILE_NAME);
	if (st.st_size >= FILE_BYTES)
		return 0;
	pack_cell(page + AT_RAISED, 0, 0);
	pack_cell(page + AT_LOWERED, 0, 0);
	err = fsio_pwrite(fd, page, sizeof page, 0);
	if (!err)
		err = fsio_sync_file(fd, "journal.flag.create");
	return err ? err : fsio_sync_dir(dirfd, "journal.flag.directory");
}

int
flag_open(int dirfd, struct flag *ret_flag)
{
	int fd = fsio_open(dirfd, FILE_NAME, O_RDWR | O_CREAT, 0600), err;

	if (fd < 0)
		return fd;
	err = lock(fd, LOCK_EX);
	if (!err)
		err = fill(dirfd, fd);
	flock(fd, LOCK_UN);
	if (err) {
		close(fd);
		return err_prefix(err, FILE_NAME);
	}
	ret_flag->fd = fd;
	return 0;
}

void
flag_close(struct flag *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static int
read_cells(int fd, struct cell *raised, struct cell *lowered)
{
	int err = read_cell(fd, AT_RAISED, raised);

	if (!err)
		err = read_cell(fd, AT_LOWERED, lowered);
	if (!lowered->valid)
		lowered->number = 0;
	if (!raised->valid)
		*raised = (struct cell){.number = lowered->number + 1};
	return err;
}

int
flag_raise(struct flag *f, int64_t now_ns)
{
	struct cell raised = {0}, lowered = {0};
	int err = lock(f->fd, LOCK_EX);

	if (err)
		return err;
	err = read_cells(f->fd, &raised, &lowered);
	if (!err)
		err = write_cell(f->fd, AT_RAISED, raised.number + 1, raised.number != lowered.number && raised.at_ns ? raised.at_ns : now_ns);
	flock(f->fd, LOCK_UN);
	return err;
}

int
flag_look(const struct flag *f, struct flag_state *ret_state)
{
	struct cell raised = {0}, lowered = {0};
	int err = lock(f->fd, LOCK_SH);

	if (err)
		return err;
	err = read_cells(f->fd, &raised, &lowered);
	flock(f->fd, LOCK_UN);
	if (!err)
		*ret_state = (struct flag_state){raised.number != lowered.number, raised.number, raised.at_ns};
	return err;
}

int
flag_lower(struct flag *f, uint64_t generation)
{
	struct cell raised = {0}, lowered = {0};
	int err = lock(f->fd, LOCK_EX);

	if (err)
		return err;
	err = read_cells(f->fd, &raised, &lowered);
	if (!err && !raised.valid)
		err = write_cell(f->fd, AT_RAISED, raised.number, raised.at_ns);
	/* One above what stands there was given before that number was lost: it does not answer whoever raised the flag since. */
	if (!err && generation <= raised.number && (generation > lowered.number || !lowered.valid))
		err = write_cell(f->fd, AT_LOWERED, PLANTED(flag_lowered_for_all) ? raised.number : generation, 0);
	flock(f->fd, LOCK_UN);
	return err;
}
