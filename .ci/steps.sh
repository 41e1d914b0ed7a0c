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

# The counts of a vitest run by its report in JSON: a suite counts by its tests, not as one step.
add_tests() { # add_tests FILE
  [ -f "$1" ] || return
  node -e '
    const { numPassedTests, numFailedTests } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
    console.log(`${numPassedTests} passed, ${numFailedTests || 0} failed`);
  ' "$1" > "$1.count"
  add_counts "$1.count"
}

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
