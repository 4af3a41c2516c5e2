# Gives root the access token that the platform's content logs in with: its value is the platform's secret.
value = $stdin.read.strip
expires_at = 365.days.from_now.to_date - 1
token = PersonalAccessToken.find_by_token(value)
if token.nil?
  root = User.admins.order(:id).first
  token = root.personal_access_tokens.build(name: 'platform', scopes: %w[api admin_mode], expires_at: expires_at)
  token.set_token(value)
  token.save!
  # Those that it had before are of no use to anybody.
  root.personal_access_tokens.active.where(name: 'platform').where.not(id: token.id).find_each(&:revoke!)
else
  token.update!(revoked: false, expires_at: expires_at)
end
