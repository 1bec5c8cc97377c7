# prometheus.sh: what a real Prometheus makes of Torch's metrics, its alerts and its dashboard. To be sourced, by run.
# shellcheck shell=bash
# shellcheck disable=SC2154  # run sets them

asked=127.0.0.1:9491

# The API server's stream of pods goes on meanwhile, so that there is something to be counted.
check_with_prometheus() {
  write_prometheus_configuration >"$work/prometheus.yaml"
  "$prometheus" --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/prometheus" \
    --web.listen-address="$asked" --log.level=warn >"$work/prometheus.log" 2>&1 &
  scraper=$!
  # Where a check fails, too: the next run would ask this one.
  trap 'kill "$scraper"' EXIT
  soon "$space: Prometheus scrapes three replicas" answers 'count(up == 1) == 3'
  soon "$space: native histograms come" answers 'histogram_count(sum(torch_admission_duration_seconds)) > 0'
  soon "$space: and tell rates" answers 'histogram_quantile(0.99, sum(rate(torch_admission_duration_seconds[10s]))) > 0'
  check "$space: without the series of classic ones" answers 'absent(torch_admission_duration_seconds_bucket)'
  soon "$space: all that the dashboard asks is answered" dashboard_is_answered
  check "$space: all alerts are evaluated" alerts_are_evaluated
  trap - EXIT
  kill "$scraper"
  wait "$scraper" || true
}

write_prometheus_configuration() {
  cat <<Y
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [$monitoring/alerts.yaml]
scrape_configs:
  - job_name: torch
    scrape_native_histograms: true
    static_configs:
      - labels: {namespace: $space}
        targets: [$(torches .status.podIP | sed 's/\([^ ]*\) /\1:8080,/g')]
Y
}

# answers QUERY: with something, and without a warning.
answers() {
  local answer
  answer=$(curl -s --max-time 5 --data-urlencode "query=$1" "http://$asked/api/v1/query")
  if ! grep -q '"status":"success"' <<<"$answer" || grep -qE '"result":\[\]|"warnings"' <<<"$answer"; then
    echo "$1: $answer"
    return 1
  fi
}

dashboard_is_answered() {
  local query
  while read -r query; do answers "$query" || return 1; done < <(dashboard_queries)
}

dashboard_queries() {
  grep -oE '"expr": "([^"\]|\\.)*"' "$monitoring/dashboard.json" |
    sed 's/^"expr": "//; s/"$//; s/\\"/"/g; s/\$__rate_interval/10s/g; s/\$namespace/'"$space"'/g'
}

alerts_are_evaluated() {
  local rules
  rules=$(curl -s --max-time 5 "http://$asked/api/v1/rules")
  [ "$(grep -o '"health":"ok"' <<<"$rules" | wc -l)" = "$(grep -c -- '- alert:' "$monitoring/alerts.yaml")" ] || { echo "$rules"; return 1; }
}
