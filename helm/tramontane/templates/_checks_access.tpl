{{/* TLS, the API's Service, and autoscaling. */}}

{{- define "tramontane.checkTls" -}}
{{- $tls := .Values.tls -}}
{{- $roles := list "coordinator" "expertWorkers" -}}
{{- if eq "true" (include "tramontane.hasAttentionWorkers" .) }}{{ $roles = append $roles "attentionWorkers" }}{{ end -}}
{{- $given := list -}}
{{- $lacking := list -}}
{{- range $role := $roles -}}
  {{- if get $tls.secrets $role }}{{ $given = append $given (printf "tls.secrets.%s" $role) }}{{ else }}{{ $lacking = append $lacking (printf "tls.secrets.%s" $role) }}{{ end -}}
{{- end -}}
{{- if and $tls.enabled $tls.certManager.enabled $given }}
tls: expected Secrets or cert-manager, found {{ join ", " $given }} and tls.certManager.enabled; keep one kind
{{- else if and $tls.enabled (not $tls.certManager.enabled) $lacking }}
tls: expected a Secret for every role, found none for {{ join ", " $lacking }}; set them, or tls.certManager.enabled
{{- else if and (not $tls.enabled) (or $given $tls.certManager.enabled) }}
tls.enabled: expected true where certificates are given, found false with {{ default (list "tls.certManager.enabled") $given | join ", " }}; set tls.enabled, or take them away
{{- end -}}
{{- if and (not $tls.enabled) $tls.extraAllowedPeers }}
tls.extraAllowedPeers: expected tls.enabled beside it, found false; names are in certificates
{{- end -}}
{{- with .Values.api.tls -}}
{{- if and .plaintext (or .secretName .clientCaSecret) }}
api.tls: expected neither secretName nor clientCaSecret beside plaintext, found {{ list .secretName .clientCaSecret | compact | join " and " }}; keep one of the two
{{- end -}}
{{- if and .plaintext (not $tls.enabled) }}
api.tls.plaintext: expected tls.enabled beside it, found false; the API is plaintext without it
{{- end -}}
{{- if and .clientCaSecret (not .secretName) (not $tls.enabled) }}
api.tls.clientCaSecret: expected a certificate for the API, found none; set api.tls.secretName or tls.enabled
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What belongs to other types of Services. */}}
{{- define "tramontane.checkService" -}}
{{- $service := .Values.coordinator.service -}}
{{- $types := dict "nodePort" (list "NodePort" "LoadBalancer") "externalTrafficPolicy" (list "NodePort" "LoadBalancer") "loadBalancerClass" (list "LoadBalancer") "loadBalancerSourceRanges" (list "LoadBalancer") -}}
{{- range $key, $fitting := $types -}}
{{- if and (get $service $key) (not (has $service.type $fitting)) }}
coordinator.service.{{ $key }}: expected the type {{ join " or " $fitting }} beside it, found {{ $service.type }}; set coordinator.service.type, or take it away
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tramontane.checkAutoscaling" -}}
{{- range .Values.expertWorkers.shards -}}
  {{- $scaling := (include "tramontane.shard" (dict "root" $ "shard" .) | fromJson).autoscaling -}}
  {{- $path := printf "expertWorkers.shards[%s].autoscaling" .name -}}
  {{- if $scaling.enabled -}}
    {{- if lt (int $scaling.maxReplicas) (int $scaling.minReplicas) }}
{{ $path }}.maxReplicas: expected at least minReplicas {{ int $scaling.minReplicas }}, found {{ int $scaling.maxReplicas }}; raise it
    {{- end -}}
    {{- if and (eq $scaling.kind "keda") (not $scaling.prometheusAddress) }}
{{ $path }}.prometheusAddress: expected the URL of Prometheus for keda, found none; for example http://prometheus-operated.monitoring:9090
    {{- end -}}
    {{- if and (eq $scaling.kind "keda") (eq $scaling.metric "cpu") }}
{{ $path }}.metric: expected busy or rows for keda, found cpu; set kind to hpa
    {{- end -}}
    {{- if and (eq $scaling.kind "hpa") (eq $scaling.metric "rows") (eq $scaling.podsMetric "tramontane_expert_worker_busy") }}
{{ $path }}.podsMetric: expected a metric of rows in a second for the metric rows, found {{ $scaling.podsMetric }}, which is a share of time; name the one that the adapter makes of tramontane_expert_worker_rows_total, such as tramontane_expert_worker_rows_per_second
    {{- end -}}
    {{- if and (eq $scaling.metric "busy") (gt (float64 $scaling.target) 1.0) }}
{{ $path }}.target: expected a share of at most 1 for the metric busy, found {{ include "tramontane.scalar" $scaling.target }}; 0.7 is usual
    {{- end -}}
    {{- if and (eq $scaling.metric "cpu") (lt (float64 $scaling.target) 1.0) }}
{{ $path }}.target: expected per cent for the metric cpu, found {{ include "tramontane.scalar" $scaling.target }}; 70 is usual
    {{- end -}}
    {{- if and (eq $scaling.metric "cpu") (not (dig "requests" "cpu" "" (include "tramontane.shard" (dict "root" $ "shard" .) | fromJson).resources)) }}
{{ $path }}.metric: expected resources.requests.cpu beside cpu, found none; the metric is a share of it
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
