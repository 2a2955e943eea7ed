#!/usr/bin/env bash
# From nothing to the consortium of docker-compose.yml, in which rounds can run: the commands of docs/how-to/run-in-containers.md for every
# site, one after the other. May be repeated. On machines of their own, people compare words by telephone where this says --yes.
set -euo pipefail
# Containers read what is exchanged as a user of their own.
umask 022
cd "$(dirname "$0")/.."

hospitals=(aster birch cedar)
nodes=(north east west)
auditor=owl
study=small
members=("${hospitals[@]/#/hospital-}" "${nodes[@]/#/node-}" "auditor-$auditor")

at() { docker compose run --rm -T "$@" </dev/null; }
card() { at --entrypoint cat "$1" /home/wardround/site/card.json >"docker/exchange/$1.json"; }
invitation() { at --entrypoint cat wardround "/home/wardround/site/invitations/$1.json" >"docker/exchange/invitation-$1.json"; }
ready() { # services that answer, one after the other
	for service; do
		until docker compose exec -T "$service" wardround status </dev/null; do
			((SECONDS < 1800)) || { echo "$service does not answer: docker compose logs $service" >&2; exit 1; }
			sleep 5
		done
	done
}

mkdir -p docker/exchange
at wardround site init --provider --host provider:8443
for name in "${hospitals[@]}"; do at "hospital-$name" site init --hospital "$name"; done
for name in "${nodes[@]}"; do at "node-$name" site init --node "$name" --host "party-$name:7000"; done
at "auditor-$auditor" site init --auditor "$auditor"

docker compose up --detach provider
ready provider
for member in "${members[@]}"; do card "$member"; done
cards=("${members[@]/#//exchange/}")
at wardround site invite "${cards[@]/%/.json}"

for member in "${members[@]}"; do
	invitation "$member"
	at "$member" site join "/exchange/invitation-$member.json" --yes
done
for name in "${hospitals[@]}"; do at --entrypoint python "hospital-$name" -m pipeline.setup.public_part "$study"; done
docker compose up --detach
working=("${hospitals[@]/#/hospital-}" "${nodes[@]/#/node-}")
ready "${working[@]}"

# The provider takes in what members did: hospitals that registered, studies whose nodes are known.
docker compose exec -T provider wardround up </dev/null
for member in "${working[@]}"; do at "$member" study approve "$study"; done
