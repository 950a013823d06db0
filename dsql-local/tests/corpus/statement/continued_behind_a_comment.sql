SELECT 'arn:' -- the account
'aws;' ; SELECT 2