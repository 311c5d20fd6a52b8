{{/* Where pods go. dict "root" $ "component" "expert-worker" "shard" "a" "settings" SETTINGS */}}

{{- define "tramontane.spread" -}}
{{- $selector := dict "matchLabels" (include "tramontane.selectorLabels" . | fromYaml) -}}
{{- $keys := dict "zones" "topology.kubernetes.io/zone" "hosts" "kubernetes.io/hostname" -}}
{{- $constraints := list -}}
{{- range $level := list "zones" "hosts" -}}
  {{- $when := get $.settings.spread $level -}}
  {{- if ne $when "none" -}}
    {{- $constraint := dict "maxSkew" 1 "topologyKey" (get $keys $level) "whenUnsatisfiable" $when "labelSelector" $selector -}}
    {{- if eq $.component "coordinator" }}{{ $_ := set $constraint "matchLabelKeys" (list "pod-template-hash") }}{{ end -}}
    {{- $constraints = append $constraints $constraint -}}
  {{- end -}}
{{- end -}}
{{- with $constraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tramontane.affinity" -}}
{{- $affinity := deepCopy (default dict .settings.affinity) -}}
{{- if and (ne .settings.antiAffinity "none") (not (hasKey $affinity "podAntiAffinity")) -}}
  {{- $selector := dict "matchLabels" (include "tramontane.selectorLabels" . | fromYaml) -}}
  {{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" $selector -}}
  {{- $rule := dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term)) -}}
  {{- if eq .settings.antiAffinity "required" -}}
    {{- $rule = dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term) -}}
  {{- end -}}
  {{- $_ := set $affinity "podAntiAffinity" $rule -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Settings that are fields of a pod as they are, where they say anything. SETTINGS */}}
{{- define "tramontane.podFields" -}}
{{- range $key, $value := . }}
{{- with $value }}
{{ dict $key . | toYaml }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container's resources, with the GPUs. */}}
{{- define "tramontane.resources" -}}
{{- $resources := deepCopy (default dict .settings.resources) -}}
{{- if gt (int .settings.gpus) 0 -}}
  {{- $limits := default dict $resources.limits -}}
  {{- $_ := set $limits .settings.gpuResource (int .settings.gpus) -}}
  {{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- with $resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
