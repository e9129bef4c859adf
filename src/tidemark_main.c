/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark - the command line: one question, one answer. */
#include "control/cli.h"

int
main(int argc, char **argv)
{
	return cli_run(argc, argv);
}
