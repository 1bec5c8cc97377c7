{{- define "torch.config" -}}
{{- if kindIs "string" .config }}{{ .config }}{{ else }}{{ toYaml .config }}{{ end }}
{{- end }}

{{- define "torch.deployment" }}
{{- $values := .values }}
{{- $spec := .object.spec }}
{{- $pod := $spec.template.spec }}
{{- $container := first $pod.containers }}
{{- $args := $container.args }}
{{- if ne $values.restAuth "token" }}
{{- $args = append $args (printf "--rest-auth=%s" $values.restAuth) }}
{{- end }}
{{- with $values.log }}
{{- $args = append $args (printf "--log=%s" .) }}
{{- end }}
{{- if ne $values.logFormat "text" }}
{{- $args = append $args (printf "--log-format=%s" $values.logFormat) }}
{{- end }}
{{- $_ := set $spec "replicas" $values.replicas }}
{{- $_ := set $container "image" $values.image }}
{{- $_ := set $container "resources" $values.resources }}
{{- $_ := set $container "args" $args }}
{{- with $values.podAnnotations }}
{{- $_ := set $spec.template.metadata "annotations" . }}
{{- end }}
{{- range $field := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
{{- with index $values $field }}
{{- $_ := set $pod $field . }}
{{- end }}
{{- end }}
{{- toYaml .object }}
{{- end }}
