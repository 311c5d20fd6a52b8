{{/* Whether a container that is to compute on a GPU has one. */}}

{{/* What may give a container GPUs beside `gpus`: "true" where there is any of it. SETTINGS */}}
{{- define "tramontane.hasOtherGpus" -}}
{{- $found := or .runtimeClassName .resources.claims -}}
{{- range $name, $_ := .resources.limits }}{{ if contains "/" $name }}{{ $found = true }}{{ end }}{{ end -}}
{{- range .env }}{{ if eq .name "NVIDIA_VISIBLE_DEVICES" }}{{ $found = true }}{{ end }}{{ end -}}
{{- if $found -}}true{{- end -}}
{{- end -}}

{{/* dict "path" "coordinator" "settings" SETTINGS */}}
{{- define "tramontane.checkDevice" -}}
{{- $gpus := int .settings.gpus -}}
{{- $device := include "tramontane.device" .settings -}}
{{- $index := trimPrefix "cuda:" $device -}}
{{- if and (gt $gpus 0) (dig "limits" .settings.gpuResource "" .settings.resources) }}
{{ .path }}.gpus: expected GPUs in one place, found {{ $gpus }} there and {{ .settings.gpuResource }} in resources.limits; keep one of them
{{- end -}}
{{- if hasPrefix "cuda" $device -}}
{{- if and (eq $gpus 0) (ne "true" (include "tramontane.hasOtherGpus" .settings)) }}
{{ .path }}.device: expected a GPU for {{ $device }}, found gpus 0 and nothing else that gives one; set gpus, or runtimeClassName, resources.claims or an extended resource in resources.limits, or, where every container of a machine gets its GPUs, env NVIDIA_VISIBLE_DEVICES
{{- else if and (gt $gpus 0) (ge (atoi $index) $gpus) }}
{{ .path }}.device: expected cuda:0{{ if gt $gpus 1 }} to cuda:{{ sub $gpus 1 }}{{ end }}, since a container counts its own GPUs, found {{ $device }} with gpus {{ $gpus }}; correct one of them
{{- end -}}
{{- end -}}
{{- end -}}

{{/* $ */}}
{{- define "tramontane.checkDevices" -}}
{{- if and (eq "true" (include "tramontane.hasAttentionWorkers" .)) (hasPrefix "cuda" (include "tramontane.device" .Values.coordinator)) }}
coordinator.{{ ternary "gpus" "device" (empty .Values.coordinator.device) }}: expected no GPU beside attention workers, which compute in the coordinator's place; found {{ include "tramontane.device" .Values.coordinator }} with attentionWorkers.replicas {{ include "tramontane.scalar" .Values.attentionWorkers.replicas }}; give attentionWorkers the GPUs
{{- end -}}
{{- end -}}
