{{/* Rules of NetworkPolicies: list items. */}}

{{/* Ingress of peers to one port; none where there are no peers, which would mean everybody.
     dict "peers" [NetworkPolicyPeer] "port" 8470 */}}
{{- define "tramontane.admit" -}}
{{- if .peers -}}
- from:
    {{- toYaml .peers | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end -}}
{{- end -}}

{{/* Ingress of a role to the workers' port. dict "root" $ "component" "coordinator" */}}
{{- define "tramontane.admitRole" -}}
- from:
    - podSelector:
        matchLabels:
          {{- include "tramontane.selectorLabels" . | nindent 10 }}
  ports:
    - {protocol: TCP, port: {{ include "tramontane.workerPort" . }}}
{{- end -}}

{{/* Ingress of Prometheus, and of kubelets that need leave. $ */}}
{{- define "tramontane.observers" -}}
{{- include "tramontane.admit" (dict "peers" .Values.networkPolicy.prometheus "port" (include "tramontane.metricsPort" .)) }}
{{ include "tramontane.admit" (dict "peers" .Values.networkPolicy.kubelets "port" (include "tramontane.healthPort" .)) }}
{{- end -}}

{{/* Egress to a role's calls. dict "root" $ "component" "expert-worker" */}}
{{- define "tramontane.reach" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "tramontane.selectorLabels" . | nindent 10 }}
  ports:
    - {protocol: TCP, port: {{ include "tramontane.rpcPort" . }}}
{{- end -}}

{{/* Egress to name servers. $ */}}
{{- define "tramontane.dns" -}}
{{- with .Values.networkPolicy.dns -}}
- to:
    {{- toYaml .peers | nindent 4 }}
  ports:
    - {protocol: UDP, port: {{ int .port }}}
    - {protocol: TCP, port: {{ int .port }}}
{{- end -}}
{{- end -}}

{{/* Values that offer the API beyond the namespace, where the policies admit callers of it alone; else
     nothing. $ */}}
{{- define "tramontane.doorsNobodyPasses" -}}
{{- $doors := list -}}
{{- if ne .Values.coordinator.service.type "ClusterIP" }}{{ $doors = append $doors (printf "coordinator.service.type %s" .Values.coordinator.service.type) }}{{ end -}}
{{- if .Values.ingress.enabled }}{{ $doors = append $doors "ingress.enabled" }}{{ end -}}
{{- if .Values.grpcRoute.enabled }}{{ $doors = append $doors "grpcRoute.enabled" }}{{ end -}}
{{- $isOpen := not (empty .Values.networkPolicy.extraIngress.coordinator) -}}
{{- range .Values.networkPolicy.clients -}}
  {{- if or (hasKey . "namespaceSelector") (hasKey . "ipBlock") }}{{ $isOpen = true }}{{ end -}}
{{- end -}}
{{- if not $isOpen }}{{ join ", " $doors }}{{ end -}}
{{- end -}}
