# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rsync -a through an sshd of our own on loopback: encrypted as tidemark's link is.
. bench/systems/rsync.sh

SSHD=$(command -v sshd || echo /usr/sbin/sshd)

sys_available() { command -v rsync && command -v ssh && [ -x "$SSHD" ] && [ $ROOT = yes ]; }
sys_version() { echo "$(rsync --version | head -n 1), $(ssh -V 2>&1)"; }

sys_prepare() {
	local port
	port=$(proc port)
	mkdir -p /run/sshd "$S/m"
	ssh-keygen -q -t ed25519 -N '' -f "$S/host" && ssh-keygen -q -t ed25519 -N '' -f "$S/key" && cp "$S/key.pub" "$S/allowed" || return
	# SHLVL: bash reads the .bashrc of the one who runs it when it believes to be the first shell below sshd.  Not ours to measure.
	"$SSHD" -D -e -f /dev/null -p "$port" -h "$S/host" -o ListenAddress=127.0.0.1 -o UsePAM=no -o StrictModes=no -o PidFile=none -o SetEnv=SHLVL=3 \
		-o PermitRootLogin=prohibit-password -o AuthorizedKeysFile="$S/allowed" >"$S/sshd.log" 2>&1 &
	STARTED+=("$!")
	echo $! >"$S/daemon"
	cat >"$S/ssh.conf" <<-CONF
	Host *
	Port $port
	IdentityFile $S/key
	IdentitiesOnly yes
	UserKnownHostsFile /dev/null
	StrictHostKeyChecking no
	LogLevel ERROR
	CONF
	"$PYTHON" bench/until.py listens "$port"
}
sys_way() { rsync -a -e "ssh -F $S/ssh.conf" "$@" "127.0.0.1:$S/m/copy/"; }
