# monitoring.sh: the alerts, the dashboard, and the objects that the chart makes of them. To be sourced, by run.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # run sets and uses them

monitoring=$root/deploy/monitoring
# Whose kinds ServiceMonitor and PrometheusRule are.
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
operator_kinds=(servicemonitors prometheusrules)

check_monitoring() {
  local file
  check "promtool check rules" promtool check rules "$monitoring/alerts.yaml"
  check "promtool test rules" promtool test rules "$monitoring/alerts_test.yaml"
  check "each alert is tested" all_are_tested
  for file in "$work"/metrics/*; do check "promtool check metrics" promtool check metrics < <(as_prometheus_text "$file"); done
  check "all metrics that are asked for are there" all_are_there
  check "and so are the values of their labels" all_are_told_of
  add_monitoring_kinds
  render_monitoring >"$work/monitoring.yaml"
  check "taken by the API server: monitoring" kubectl apply --dry-run=server --warnings-as-errors -f "$work/monitoring.yaml"
}

all_are_tested() {
  local alert
  for alert in $(sed -n 's/.*- alert: //p' "$monitoring/alerts.yaml"); do
    grep -q "alertname=\"$alert\"" "$monitoring/alerts_test.yaml" || { echo "$alert is not"; return 1; }
  done
}

# promtool reads the older text form, in which a counter's help has its whole name.
as_prometheus_text() {
  awk 'NR == FNR { if ($2 == "TYPE" && $4 == "counter") counters[$3]; next }
    /^# (HELP|TYPE) / && $3 in counters { sub($3, $3 "_total") } { print }' "$1" "$1"
}

all_are_there() {
  local metric
  for metric in $(grep -ohE '\btorch_[a-z_]+' "$monitoring/alerts.yaml" "$monitoring/dashboard.json" | sort -u); do
    grep -qE "^$metric(_count)?[{ ]" "$work"/metrics/* || { echo "$metric is not"; return 1; }
  done
}

# In docs/operations.md, since most of them come only with what they count.
all_are_told_of() {
  local value
  for value in $(grep -hE '\btorch_' "$monitoring/alerts.yaml" "$monitoring/dashboard.json" |
    grep -oE 'outcome=~?\\?"[a-z_|]+' | sed 's/.*"//' | tr '|' '\n' | sort -u); do
    grep -qE "^\| \`torch_.*\`$value\`" "$root/docs/operations.md" || { echo "$value is not"; return 1; }
  done
}

render_monitoring() {
  render chart-own --show-only templates/monitoring.yaml --set monitoring.labels.release=prometheus \
    --set monitoring.serviceMonitor=true --set monitoring.alerts=true --set monitoring.dashboard=true
}

monitoring_kinds() {
  local folder kind
  folder=$(cd / && go mod download -json "$operator" | sed -n 's/^\t"Dir": "\(.*\)",/\1/p')
  for kind in "${operator_kinds[@]}"; do
    echo "--filename=$folder/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml"
  done
}

add_monitoring_kinds() {
  local files
  mapfile -t files < <(monitoring_kinds)
  kubectl apply --server-side "${files[@]}" >/dev/null
  kubectl wait --for=condition=Established "${files[@]}" --timeout=30s >/dev/null
}

remove_monitoring_kinds() {
  kubectl delete customresourcedefinition "${operator_kinds[@]/%/.monitoring.coreos.com}" --ignore-not-found >/dev/null
}
