{{/* Certificates: their names, and the volumes that hold them. */}}

{{- define "tramontane.tlsName" -}}
{{- $given := index .root.Values.tls.names (include "tramontane.roleKey" .) -}}
{{- default (printf "%s-%s.%s.svc" (include "tramontane.fullname" .root) .component .root.Release.Namespace) $given -}}
{{- end -}}

{{/* The key of values under which a role's settings are. */}}
{{- define "tramontane.roleKey" -}}
{{- get (dict "coordinator" "coordinator" "attention-worker" "attentionWorkers" "expert-worker" "expertWorkers") .component -}}
{{- end -}}

{{/* The Secret with a role's certificate. */}}
{{- define "tramontane.tlsSecret" -}}
{{- if .root.Values.tls.certManager.enabled -}}
{{- printf "%s-%s-tls" (include "tramontane.fullname" .root) .component -}}
{{- else -}}
{{- index .root.Values.tls.secrets (include "tramontane.roleKey" .) -}}
{{- end -}}
{{- end -}}

{{/* "true" where the API has TLS. */}}
{{- define "tramontane.apiHasTls" -}}
{{- if or .Values.api.tls.secretName (and .Values.tls.enabled (not .Values.api.tls.plaintext)) -}}true{{- end -}}
{{- end -}}

{{/* Who may call a worker. dict "root" $ "component" "expert-worker". */}}
{{- define "tramontane.allowedPeers" -}}
{{- $caller := "coordinator" -}}
{{- if and (eq .component "expert-worker") (eq "true" (include "tramontane.hasAttentionWorkers" .root)) -}}
  {{- $caller = "attention-worker" -}}
{{- end -}}
{{- $names := list (include "tramontane.tlsName" (dict "root" .root "component" $caller)) -}}
{{- join "," (concat $names (default list .root.Values.tls.extraAllowedPeers)) -}}
{{- end -}}

{{/* Files of Secrets are root's; the group of the volume reads them, or everybody in the pod. */}}
{{- define "tramontane.secretMode" -}}
{{- if not (kindIs "invalid" .Values.podSecurity.fsGroup) }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/* A list of volumes: dict "root" $ "component" "coordinator". */}}
{{- define "tramontane.secretVolumes" -}}
{{- if .root.Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "tramontane.tlsSecret" . }}
    {{- include "tramontane.secretMode" $.root }}
{{- end }}
{{- if eq .component "coordinator" }}
{{- with .root.Values.api.tls.secretName }}
- name: api-tls
  secret:
    secretName: {{ . }}
    {{- include "tramontane.secretMode" $.root }}
{{- end }}
{{- with .root.Values.api.tls.clientCaSecret }}
- name: api-client-ca
  secret:
    secretName: {{ . }}
    {{- include "tramontane.secretMode" $.root }}
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- with .root.Values.api.tokensSecret }}
{{- if .name }}
- name: api-tokens
  secret:
    secretName: {{ .name }}
    {{- include "tramontane.secretMode" $.root }}
    items:
      - {key: {{ .key | quote }}, path: tokens}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "tramontane.secretMounts" -}}
{{- range include "tramontane.secretVolumes" . | fromYamlArray }}
- name: {{ .name }}
  mountPath: /etc/tramontane/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}
