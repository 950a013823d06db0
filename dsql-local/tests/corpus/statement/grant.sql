AWS IAM GRANT app TO 'arn:aws:iam::123456789012:role/game';
AWS IAM REVOKE app FROM 'arn:aws:iam::123456789012:role/game'