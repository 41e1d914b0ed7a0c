# Sourced by the tiers: runs named steps, goes on after a failure, and counts.
passed=0
failed=0

step() { # step NAME COMMAND…
  local name=$1 began=$SECONDS
  shift
  echo "── $name"
  if "$@"; then
    passed=$((passed + 1))
    echo "── $name: passed ($((SECONDS - began)) s)"
  else
    failed=$((failed + 1))
    echo "── $name: FAILED ($((SECONDS - began)) s)"
  fi
}

# Adds the counts that a tier's last line reports, such as `12 passed, 1 failed`.
add_counts() { # add_counts FILE
  local line
  line=$(grep -aoE '[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1)
  if [ -z "$line" ]; then
    failed=$((failed + 1))
    return
  fi
  passed=$((passed + $(echo "$line" | grep -oE '^[0-9]+')))
  failed=$((failed + $(echo "$line" | grep -oE '[0-9]+ failed' | grep -oE '^[0-9]+')))
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
