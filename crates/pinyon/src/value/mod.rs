//! Values: serializers.
